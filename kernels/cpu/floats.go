package cpu

import (
	"sync"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// floatKernels are the inner loops of linear layers with float rows. A row's
// product with one token is a dot. With several tokens, a few rows are widened to
// a panel of float32 that stays in the first-level cache, and tiles multiply it
// with two or three tokens at a time. Both follow fp.Dot to the bit.
//
// Lengths are in inputs, multiples of quant.RowAlign; a tile starts at a multiple
// of fp.Block.
type floatKernels struct {
	// dot returns fp.Dot of the row w, as float32, and x.
	dot [weightTypes]func(w []byte, x []float32) float32

	// widen sets dst to the n first weights of src as float32: eight, and the next
	// eight stride elements on. It prefetches the bytes that lie ahead of src by so many.
	widen [weightTypes]func(dst []float32, stride int, src []byte, n, ahead int)

	// tile2 and tile3 add to total [tokens, panelRows, 8], block by block, the lanes
	// of panel [n/8, panelRows, 8] times 2 or 3 tokens x, stride elements apart.
	panelRows    int
	tile2, tile3 func(total, panel, x *float32, stride, n int)
}

var floatGeneric = floatKernels{
	dot:       genericOf(dotGeneric),
	widen:     genericOf(widenGeneric),
	panelRows: genericPanelRows,
	tile2:     floatTile2Generic,
	tile3:     floatTile3Generic,
}

const weightTypes = int(kernels.Float32) + 1

const (
	// panelSize is the panel's elements, 16 KiB: half of a first-level cache.
	panelSize = 4096
	// bandTokens and bandRows bound the sums that wait for their next panel. The
	// tokens' part of a panel's depth stays in the second-level cache for all rows.
	bandTokens = 64
	bandRows   = 32
	// tileTokens is the number of tokens from which on tiles beat one dot a token.
	tileTokens = 3
)

// floatScratch is one worker's memory in floatBlock.
type floatScratch struct {
	panel [panelSize]float32
	total [bandRows * bandTokens * fp.Lanes]float32 // [panel of rows, token, panelRows, 8]
}

var floatScratches = sync.Pool{New: func() any { return new(floatScratch) }}

// floatBlock sets out[t·outStride + r-row0] to the product of w's row r with token
// t of x [tokens, ≥ w.In padded], for row0 <= r < row1, or adds it there. data are
// w's bytes, scale its scales or nil.
func (d *Device) floatBlock(out []float32, outStride int, x []float32, xStride, tokens int, w kernels.Weight, data []byte, scale []float32, row0, row1 int, add bool) {
	b := floatProduct{
		isa: &d.isa.floatKernels, typ: w.Type, depth: quant.Align(w.In), rowBytes: w.Type.RowBytes(w.In),
		data: data, scale: scale, x: x, xStride: xStride,
		out: out, outStride: outStride, add: add, row0: row0,
	}
	if tokens < tileTokens {
		b.dots(row0, row1, tokens)
		return
	}
	s := floatScratches.Get().(*floatScratch)
	for r := row0; r < row1; r += bandRows {
		for t := 0; t < tokens; {
			n := min(bandTokens, tokens-t)
			if tokens-t-n == 1 { // a tile takes two tokens at least
				n--
			}
			b.band(s, r, min(r+bandRows, row1), t, t+n)
			t += n
		}
	}
	floatScratches.Put(s)
}

// floatProduct is a part of a linear layer, as Device.floatBlock gets it.
type floatProduct struct {
	isa             *floatKernels
	typ             kernels.WeightType
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
func (b *floatProduct) dots(row0, row1, tokens int) {
	dot := b.isa.dot[b.typ]
	for r := row0; r < row1; r++ {
		w := b.data[r*b.rowBytes:][:b.rowBytes]
		for t := range tokens {
			b.store(r, t, dot(w, b.x[t*b.xStride:][:b.depth]))
		}
	}
}

// band multiplies rows row0..row1-1, at most bandRows, with tokens t0..t1-1, 2 to
// bandTokens.
func (b *floatProduct) band(s *floatScratch, row0, row1, t0, t1 int) {
	rows, tokens := b.isa.panelRows, t1-t0
	panels := (row1 - row0 + rows - 1) / rows
	perPanel := tokens * rows * fp.Lanes
	clear(s.total[:panels*perPanel])
	depth := panelSize / rows
	for k := 0; k < b.depth; k += depth {
		n := min(depth, b.depth-k)
		for p := range panels {
			// Behind this panel come the next rows', and behind the last the first
			// rows' next inputs, or the next band.
			ahead := rows * b.rowBytes
			if p == panels-1 && k+n < b.depth {
				ahead += b.typ.RowBytes(n) - panels*ahead
			} else if p == panels-1 {
				ahead -= b.typ.RowBytes(k)
			}
			b.fill(s, row0+p*rows, row1, k, n, ahead)
			total := s.total[p*perPanel:][:perPanel]
			for t := 0; t < tokens; {
				tile, step := b.isa.tile3, 3
				if left := tokens - t; left == 2 || left == 4 {
					tile, step = b.isa.tile2, 2
				}
				x := b.x[(t0+t)*b.xStride+k:]
				tile(&total[t*rows*fp.Lanes], &s.panel[0], &x[0], b.xStride, n)
				t += step
			}
		}
	}
	for p := range panels {
		for t := range tokens {
			for r := range min(rows, row1-row0-p*rows) {
				lanes := s.total[p*perPanel+(t*rows+r)*fp.Lanes:]
				b.store(row0+p*rows+r, t0+t, fp.Sum8((*[fp.Lanes]float32)(lanes)))
			}
		}
	}
}

// fill widens inputs k..k+n-1 of the panelRows rows from row on. Past the last row
// it repeats that one: its sums are not used.
func (b *floatProduct) fill(s *floatScratch, row, last, k, n, ahead int) {
	rows := b.isa.panelRows
	offset := b.typ.RowBytes(k)
	for i := range rows {
		r := min(row+i, last-1)
		src := b.data[r*b.rowBytes+offset : (r+1)*b.rowBytes]
		b.isa.widen[b.typ](s.panel[i*fp.Lanes:], rows*fp.Lanes, src, n, ahead)
	}
}

// store sets or adds to the output of row r and token t.
func (b *floatProduct) store(r, t int, y float32) {
	if b.scale != nil {
		y = float32(y * b.scale[r])
	}
	o := &b.out[t*b.outStride+r-b.row0]
	if b.add {
		y = *o + y
	}
	*o = y
}
