package cuda

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

var _ kernels.ActivationRounder = (*Device)(nil)

// ActivationType implements kernels.ActivationRounder: tensor cores multiply what has
// the weights' type, or float16, which holds int4 and int8 exactly.
func (*Device) ActivationType(w kernels.WeightType) kernels.WeightType {
	if w.Quantized() {
		return kernels.Float16
	}
	return w
}

// errProduct is what it means that a product of float rows is no number.
var errProduct = fmt.Errorf("an activation beyond float16 (%d; weights kept as bfloat16 take more), a product beyond float32, or %w", quant.MaxFloat16, quant.ErrNotFinite)

// floatKernel is a kernel for up to 8 tokens: linear_a16_few.cu, linear_a32_few.cu.
type floatKernel struct {
	name    string
	rows    int // of a CTA
	threads uint32
}

const (
	fewFloatTokens = 8
	tile32Tokens   = 64 // linear_a32.cu: a tile
	tile32Rows     = 128
	tile32Shared   = 2 * (tile32Tokens + tile32Rows) * quant.RowAlign * 4
	tile32Threads  = 256
	roundEach      = 8 // linear_a16.cu: floats that a thread rounds
	roundThreads   = 256
)

var fewFloatKernels = [...]floatKernel{
	kernels.Int4:     {"linear_w4a16_few", 32, 64},
	kernels.Int8:     {"linear_w8a16_few", 16, 64},
	kernels.Float16:  {"linear_f16_few", 16, 64},
	kernels.BFloat16: {"linear_bf16_few", 16, 64},
	kernels.Float32:  {"linear_f32_few", 16, 256},
}

// linearFloat queues the products of float rows with weights of any type. A row whose
// product is no number fails operator number op.
func (d *Device) linearFloat(l linearParams, x kernels.Rows, failed, op uint64) {
	typ, f, n, depth := l.weights[0].Type, at(x.F.Buf), uint64(x.N), uint64(x.Stride)
	switch {
	case x.N <= fewFloatTokens:
		k := fewFloatKernels[typ]
		d.launchLinear(k.name, shape{ctas: [3]uint32{l.ctas(k.rows), 1, 1}, threads: k.threads}, &l, f, n, depth, failed, op)
	case typ == kernels.Float32:
		s := shape{ctas: [3]uint32{ceil(x.N, tile32Tokens), l.ctas(tile32Rows), 1}, threads: tile32Threads, shared: tile32Shared}
		d.launchLinear("linear_f32_tile", s, &l, f, n, depth, failed, op)
	default:
		tile, splits := d.cutFloat(&l, x.N, x.Stride)
		d.linearTiles(tile, splits, l, x, failed, op)
	}
}

// linearTiles queues linear_a16.cu's kernels.
func (d *Device) linearTiles(t *floatTile, splits int, l linearParams, x kernels.Rows, failed, op uint64) {
	typ, floats, tiles := l.weights[0].Type, x.N*x.Stride, t.count(&l, x.N)
	ctas := min(tiles*splits, d.driver.Multiprocessors()*t.perSM)
	left := ctas // sums of tiles
	if splits == 2 {
		left = 2 * tiles
	}
	rounded := d.scratch(floats*2 + left*t.sumBytes())
	s := shape{ctas: [3]uint32{ceil(floats, roundEach*roundThreads), 1, 1}, threads: roundThreads}
	d.launch(roundKernels[typ], s, rounded, at(x.F.Buf), uint64(floats))
	s = shape{ctas: [3]uint32{uint32(ctas), 1, 1}, threads: t.threads, shared: t.shared(typ)}
	d.launchLinear(t.names[typ], s, &l, rounded+uint64(floats*2), uint64(d.tickets.at), uint64(splits), rounded, uint64(x.N), uint64(x.Stride), failed, op)
}
