package cpu

import (
	"math"
	"unsafe"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// RMSNorm implements kernels.Device.
func (d *Device) RMSNorm(out kernels.Rows, x kernels.Floats, weight kernels.Buf[float32], eps float32) {
	kernels.CheckRMSNorm("cpu: RMSNorm", out, x, weight)
	t := &d.rows.norm
	t.out.set(d, out)
	t.dot = d.isa.dot[kernels.Float32]
	t.x, t.stride, t.weight, t.eps = view(x.Buf), x.Stride, view(weight)[:x.Cols], eps
	d.eachRow("RMSNorm", out.N, t, quant.ErrNotFinite)
}

type normRows struct {
	out    outRows
	dot    func(w []byte, x []float32) float32
	x      []float32
	stride int
	weight []float32
	eps    float32
}

func (t *normRows) row(worker, i int) bool {
	x := t.x[i*t.stride:][:t.stride]
	ss := t.dot(asBytes(x), x)
	y := t.out.floats(worker, i)
	t.out.k.normalizeAny(y, x[:t.out.cols], t.weight, normScale(ss, t.out.cols, t.eps))
	return t.out.store(i, y) && quant.IsFinite(ss)
}

// normScale returns 1/√(ss/n + eps), each operation rounded to float32.
func normScale(ss float32, n int, eps float32) float32 {
	return 1 / float32(math.Sqrt(float64(float32(ss/float32(n))+eps)))
}

func normalizeGeneric(y, x, w []float32, r float32) {
	for i, v := range x {
		y[i] = float32(v*r) * w[i]
	}
}

// asBytes returns the memory of x.
func asBytes[T kernels.Elem](x []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*kernels.SizeOf[T]())
}
