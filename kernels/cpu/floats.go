package cpu

import (
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// floatKernels are the inner loops of linear layers with float rows. They multiply
// in one of three ways, each fp.Dot to the bit:
//
//   - dot: a row with one token.
//   - stream: four rows with up to eight tokens, each weight widened as it is loaded;
//     the way of few tokens where there is one.
//   - panels: a few rows are widened to float32 in the first-level cache, and tiles
//     multiply them with two or three tokens at a time; the way of many.
//
// Lengths are in inputs, multiples of quant.RowAlign; whatever adds to a total starts
// at a multiple of fp.Block. Totals are the lanes of sums: [tokens, panelRows, 8] for
// each panel of rows.
type floatKernels struct {
	// dot returns fp.Dot of the row w, as float32, and x.
	dot [weightTypes]func(w []byte, x []float32) float32

	// stream's kernels multiply 1, 2, 4, 6 and 8 tokens. A type has none where panels
	// are faster, and none of one token where dots are.
	stream [weightTypes][]streamFunc

	// widen sets dst to the n first weights of src as float32: eight, and the next
	// eight stride elements on.
	widen [weightTypes]func(dst []float32, stride int, src []byte, n int)

	// tile2 and tile3 add to total, block by block, the lanes of panel
	// [n/8, panelRows, 8] times 2 or 3 tokens x, stride elements apart.
	panelRows    int
	tile2, tile3 func(total, panel, x *float32, stride, n int)

	// sums reduces totals to outputs.
	sums sumsFunc
}

// streamFunc adds to total the lanes of rows rows, a multiple of streamRows up to
// panelRows, from w on and rowBytes apart, times tokens x [tokens, fp.Block], over
// n <= fp.Block inputs. It asks for as many bytes from next on as it reads of w.
type streamFunc func(total []float32, w []byte, rowBytes int, x []float32, n, rows int, next *byte)

// sumsFunc sets out[t·stride + r] to fp.Sum8 of total's row r of token t, times
// scale[r] unless scale is nil, or adds that to it, for the first rows rows.
type sumsFunc func(out []float32, stride int, total []float32, tokens, rows int, scale []float32, add bool)

var floatGeneric = floatKernels{
	dot:       genericOf(dotGeneric),
	widen:     genericOf(widenGeneric),
	panelRows: genericPanelRows,
	tile2:     floatTile2Generic,
	tile3:     floatTile3Generic,
	stream:    genericOf(streamsGeneric),
	sums:      floatSumsGeneric(genericPanelRows),
}

const weightTypes = int(kernels.Float32) + 1

// floatScratch is one worker's memory in floatBlock.
type floatScratch struct {
	panel [panelSize]float32
	total [bandRows * bandTokens * fp.Lanes]float32 // [panel of rows, token, panelRows, 8]
	x     []float32                                 // of streams
}

// floatBlock sets out[t·outStride + r-row0] to the product of w's row r with token
// t of x [tokens, ≥ w.In padded], for row0 <= r < row1, or adds it there. data are
// w's bytes, scale its scales or nil, s memory of this worker.
func (d *Device) floatBlock(s *floatScratch, out []float32, outStride int, x []float32, xStride, tokens int, w kernels.Weight, data []byte, scale []float32, row0, row1 int, add bool) {
	b := floatProduct{
		isa: &d.isa.floatKernels, prefetch: d.isa.prefetch, typ: w.Type, rows: w.Out, depth: quant.Align(w.In), rowBytes: w.Type.RowBytes(w.In),
		data: data, scale: scale, x: x, xStride: xStride,
		out: out, outStride: outStride, add: add, row0: row0,
	}
	streams := b.isa.stream[b.typ]
	switch {
	case tokens == 1 && (streams == nil || streams[0] == nil), tokens < tileTokens && streams == nil:
		b.dots(row0, row1, 0, tokens)
	case tokens <= maxStreams && streams != nil:
		b.streams(s, row0, row1, tokens)
	default:
		b.panels(s, row0, row1, tokens)
	}
}

// floatProduct is a part of a linear layer, as Device.floatBlock gets it.
type floatProduct struct {
	isa             *floatKernels
	prefetch        func(b []byte)
	typ             kernels.WeightType
	rows            int // of the weight
	depth, rowBytes int // of a padded row: inputs, bytes
	data            []byte
	scale           []float32
	x               []float32
	xStride         int
	out             []float32
	outStride, row0 int
	add             bool
}

// dots multiplies row by row, so that weights stream in order.
func (b *floatProduct) dots(row0, row1, t0, t1 int) {
	dot := b.isa.dot[b.typ]
	for r := row0; r < row1; r++ {
		w := b.data[r*b.rowBytes:][:b.rowBytes]
		for t := t0; t < t1; t++ {
			y := dot(w, b.x[t*b.xStride:][:b.depth])
			if b.scale != nil {
				y = float32(y * b.scale[r])
			}
			store(&b.out[t*b.outStride+r-b.row0], y, b.add)
		}
	}
}

// sums stores the totals of rows r..r+rows-1 and tokens t0..t0+tokens-1.
func (b *floatProduct) sums(total []float32, r, rows, t0, tokens int) {
	var scale []float32
	if b.scale != nil {
		scale = b.scale[r : r+rows]
	}
	b.isa.sums(b.out[t0*b.outStride+r-b.row0:], b.outStride, total, tokens, rows, scale, b.add)
}

// store sets o to y or adds it.
func store(o *float32, y float32, add bool) {
	if add {
		y = *o + y
	}
	*o = y
}
