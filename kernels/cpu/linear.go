package cpu

import (
	"github.com/llmqat/llmqat/kernels"
)

// Linear implements kernels.Device.
func (d *Device) Linear(out kernels.Floats, x kernels.Rows, w ...kernels.Weight) {
	d.runLinear("cpu: Linear", out, x, w, false)
}

// LinearAdd implements kernels.Device.
func (d *Device) LinearAdd(out kernels.Floats, x kernels.Rows, w kernels.Weight) {
	d.runLinear("cpu: LinearAdd", out, x, []kernels.Weight{w}, true)
}

// linearTask is a linear layer under way. Its chunks are bands of weight rows by
// spans of tokens; chunks of the same rows follow each other.
type linearTask struct {
	d      *Device
	parts  []linearPart
	x      kernels.Rows
	q      []int8    // x.Q
	xScale []float32 // x.Scale
	xSum   []int32   // x.Sum
	f      []float32 // x.F
	out    []float32
	stride int // of out
	add    bool

	span, spans int // tokens of a chunk; spans in all

	sums   [][]int32       // of each worker, for integers
	floats []*floatScratch // of each worker, for floats
}

// linearPart is one of the weights that stand side by side.
type linearPart struct {
	kernels.Weight
	data        []byte
	scale       []float32
	column      int // of out, where the weight's first row goes
	band, bands int // rows of a chunk; bands in all
}

const (
	// chunkBytes is the size of a chunk's weights: what a second-level cache holds
	// while tokens stream by, and long enough to read at full bandwidth.
	chunkBytes = 256 << 10
	// oneBytes is chunkBytes for one token, for which a chunk is a worker's next in
	// memory anyhow: small ones end together.
	oneBytes = 64 << 10
	// chunkRows bounds a chunk's weight rows, and with them a worker's sums.
	chunkRows = 256
	// groupBytes is the size of those weights of a chunk that all its tokens meet before
	// the next: where tokens take several passes, memory works ahead during all of them.
	groupBytes = 64 << 10
	// chunkTokens bounds a chunk's tokens, so that prefill has chunks to share.
	chunkTokens = 128
	// chunkAlign is what a chunk's rows are a multiple of: a cache line of outputs.
	chunkAlign = 16
	// chunksPerWorker keeps the last chunk of a layer short beside the rest.
	chunksPerWorker = 4
)

// runLinear sets out to x · wᵀ, or adds it.
func (d *Device) runLinear(op string, out kernels.Floats, x kernels.Rows, w []kernels.Weight, add bool) {
	kernels.CheckLinear(op, out, x, w)
	if x.N == 0 {
		return
	}
	t := &d.linear
	t.d, t.x, t.add = d, x, add
	t.setParts(w)
	t.out, t.stride = view(out.Buf), out.Stride
	if x.Bits == 16 {
		t.f = view(x.F.Buf)
		for len(t.floats) < d.pool.workers {
			t.floats = append(t.floats, new(floatScratch))
		}
	} else {
		t.q, t.xScale, t.xSum = view(x.Q), view(x.Scale), view(x.Sum)
		for len(t.sums) < d.pool.workers {
			t.sums = append(t.sums, make([]int32, 2*maxTile*chunkRows))
		}
	}
	d.run(t.cut(d.pool.workers), t)
}

// setParts lays the weights' outputs side by side.
func (t *linearTask) setParts(w []kernels.Weight) {
	t.parts = t.parts[:0]
	column := 0
	for i := range w {
		p := linearPart{Weight: w[i], data: view(w[i].Data), column: column}
		if p.Type.Quantized() {
			p.scale = view(p.Scale)
		}
		t.parts = append(t.parts, p)
		column += p.Out
	}
}

// cut sets the sizes of the chunks and returns their number.
func (t *linearTask) cut(workers int) int {
	t.spans = (t.x.N + chunkTokens - 1) / chunkTokens
	t.span = (t.x.N + t.spans - 1) / t.spans
	last := &t.parts[len(t.parts)-1]
	share := (last.column + last.Out) * t.spans / (workers * chunksPerWorker)
	bytes := chunkBytes
	switch {
	case t.x.N == 1:
		bytes = oneBytes
	case t.x.Bits == 16 && t.x.N <= maxStreams:
		bytes = streamBytes
	}
	chunks := 0
	for i := range t.parts {
		p := &t.parts[i]
		band := min(chunkRows, bytes/p.Type.RowBytes(p.In), share)
		p.band = max(chunkAlign, band/chunkAlign*chunkAlign)
		p.bands = (p.Out + p.band - 1) / p.band
		chunks += p.bands * t.spans
	}
	return chunks
}

// run does one chunk.
func (t *linearTask) run(worker, chunk int) {
	band, span := chunk/t.spans, chunk%t.spans
	i := 0
	for band >= t.parts[i].bands {
		band -= t.parts[i].bands
		i++
	}
	p := &t.parts[i]
	row0, token0 := band*p.band, span*t.span
	row1, token1 := min(row0+p.band, p.Out), min(token0+t.span, t.x.N)
	if t.x.Bits == 16 {
		t.d.floatBlock(t.floats[worker], t.out[token0*t.stride+p.column+row0:], t.stride, t.f[token0*t.x.Stride:], t.x.Stride, token1-token0,
			p.Weight, p.data, p.scale, row0, row1, t.add)
		return
	}
	kernel := t.d.isa.of(p.Type)
	rows := row1 - row0
	if kernel.passes(token1-token0) > 1 {
		rows = max(chunkAlign, groupBytes/p.Type.RowBytes(p.In)/chunkAlign*chunkAlign)
	}
	for r := row0; r < row1; r += rows {
		t.ints(t.sums[worker], kernel, p, r, min(r+rows, row1), token0, token1)
	}
}

// ints does rows row0..row1-1 and tokens token0..token1-1 of an integer layer, in
// passes over the rows. Each asks for its part of as many rows behind these.
func (t *linearTask) ints(sums []int32, kernel *dotKernel, p *linearPart, row0, row1, token0, token1 int) {
	rowBytes, depth, rows := p.Type.RowBytes(p.In), t.x.Stride, row1-row0
	w := p.data[row0*rowBytes : row1*rowBytes]
	passes := kernel.passes(token1 - token0)
	for pass, token := 0, token0; pass < passes; pass++ {
		left := passes - pass
		n := (token1 - token + left - 1) / left
		ahead, step := len(w)+pass*len(w)/passes, (cacheLine+passes-1)/passes
		if passes == 1 {
			ahead = kernel.tiles[n-1].rows*rowBytes + prefetchBytes
		} else {
			for i := range n {
				t.d.isa.prefetch(asBytes(t.out[(token+i)*t.stride+p.column+row0:][:rows]))
			}
		}
		kernel.dots(sums, sums[len(sums)/2:], w, t.q[token*depth:(token+n)*depth], depth, rows, n, ahead, step)
		t.scale(sums, rows, p, row0, row1, token, n)
		token += n
	}
}

// scale sets or adds to the outputs of rows row0..row1-1 and n tokens.
func (t *linearTask) scale(sums []int32, sumStride int, p *linearPart, row0, row1, token, n int) {
	isa := &t.d.isa.intKernels
	scale := isa.scaleSums
	if t.add {
		scale = isa.addSums
	}
	scale(t.out[token*t.stride+p.column+row0:], t.stride, sums, sumStride, p.scale[row0:row1],
		t.xScale[token:token+n], t.xSum[token:token+n], isa.of(p.Type).offset)
}
