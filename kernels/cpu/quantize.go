package cpu

import (
	"math"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Quantize implements kernels.Device.
func (d *Device) Quantize(out kernels.Rows, x kernels.Floats) {
	kernels.CheckQuantize("cpu: Quantize", out, x)
	t := &d.rows.quant
	t.out.set(d, out)
	t.x, t.stride = view(x.Buf), x.Stride
	d.eachRow("Quantize", out.N, t, quant.ErrNotFinite)
}

type quantizeRows struct {
	out    outRows
	x      []float32
	stride int
}

func (t *quantizeRows) row(_, i int) bool {
	return t.out.store(i, t.x[i*t.stride:][:t.out.cols])
}

func quantizeGeneric(q []int8, x []float32, scale, zero, qmax float32) (sum int32) {
	for i, v := range x {
		v = min(max((v-zero)/scale, -qmax), qmax)
		q[i] = int8(math.RoundToEven(float64(v)))
		sum += int32(q[i])
	}
	return sum
}

// minMaxGeneric compares bit patterns, made monotonic: -0 is below 0, and a NaN
// outside of the infinities.
func minMaxGeneric(x []float32) (lo, hi float32) {
	order := func(b int32) int32 { return b ^ b>>31&0x7fffffff } // its own inverse
	l, h := int32(math.MaxInt32), int32(math.MinInt32)
	for _, v := range x {
		b := order(int32(math.Float32bits(v)))
		l, h = min(l, b), max(h, b)
	}
	return math.Float32frombits(uint32(order(l))), math.Float32frombits(uint32(order(h)))
}
