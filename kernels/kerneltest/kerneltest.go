// Package kerneltest holds every device to the operators' definitions: integers
// exactly, floats within tolerances that the comments derive from the number of
// roundings, over edge and odd shapes.
package kerneltest

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llmqat/llmqat/kernels"
)

// Run checks every operator of dev.
func Run(t *testing.T, dev kernels.Device) {
	for _, test := range []struct {
		name string
		run  func(e *env)
	}{
		{"Memory", testMemory},
		{"Misuse", testMisuse},
		{"Embed", testEmbed},
		{"Gather", testGather},
		{"Quantize", testQuantize},
		{"RMSNorm", testRMSNorm},
		{"SwiGLU", testSwiGLU},
		{"NotFinite", testNotFinite},
		{"LinearInt", testLinearInt},
		{"LinearFloat", testLinearFloat},
		{"RoPEAppendKV", testAppendKV},
		{"PagedAttention", testAttention},
		{"Draw", testDraw},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := &env{T: t, dev: dev, rand: rand.New(rand.NewPCG(1, 1))}
			test.run(e)
			if err := dev.Sync(); err != nil {
				t.Errorf("Sync: %v", err)
			}
			for _, m := range e.mems {
				dev.Free(m)
			}
		})
	}
}

// env is one test's device, random source and memory.
type env struct {
	*testing.T
	dev  kernels.Device
	rand *rand.Rand
	mems []kernels.Mem
}

// eps is float32's unit roundoff: one rounding changes x by at most eps·|x|.
const eps = 1.0 / (1 << 24)

// upload returns v in device memory.
func upload[T kernels.Elem](e *env, v []T) kernels.Buf[T] {
	b := must(kernels.Alloc[T](e.dev, len(v)))(e)
	e.mems = append(e.mems, b.Mem)
	kernels.Upload(e.dev, b, v)
	return b
}

// download returns b's contents.
func download[T kernels.Elem](e *env, b kernels.Buf[T]) []T {
	v := make([]T, b.N)
	kernels.Download(e.dev, v, b)
	return v
}

// must returns v, and ends the test on an error.
func must[V any](v V, err error) func(*env) V {
	return func(e *env) V {
		e.Helper()
		if err != nil {
			e.Fatal(err)
		}
		return v
	}
}

// garbage is what outputs hold before an operator runs: what it fails to write
// is seen.
const garbage = 12345

// floats returns x [rows, cols] on the device, padding zero.
func (e *env) floats(x []float32, rows, cols int) kernels.Floats {
	f := must(kernels.NewFloats(e.dev, rows, cols))(e)
	e.mems = append(e.mems, f.Mem)
	padded := make([]float32, f.N)
	for r := range rows {
		copy(padded[r*f.Stride:], x[r*cols:][:cols])
	}
	kernels.Upload(e.dev, f.Buf, padded)
	return f
}

// outFloats returns a matrix of garbage, padding zero.
func (e *env) outFloats(rows, cols int) kernels.Floats {
	x := make([]float32, rows*cols)
	for i := range x {
		x[i] = garbage
	}
	return e.floats(x, rows, cols)
}

// contents returns f without padding.
func (e *env) contents(f kernels.Floats) []float32 {
	var x []float32
	padded := download(e, f.Buf)
	for r := range f.Rows {
		x = append(x, padded[r*f.Stride:][:f.Cols]...)
	}
	return x
}

// rows returns rows of garbage, padding included: the operator must clear it.
func (e *env) rows(n, cols, bits int) kernels.Rows {
	r := must(kernels.NewRows(e.dev, n, cols, bits))(e)
	e.spoil(r)
	return r
}

// queries is rows, not padded.
func (e *env) queries(n, headDim, bits int) kernels.Rows {
	r := must(kernels.NewQueries(e.dev, n, headDim, bits))(e)
	e.spoil(r)
	return r
}

func (e *env) spoil(r kernels.Rows) {
	if r.Bits == 16 {
		e.mems = append(e.mems, r.F.Mem)
		kernels.Upload(e.dev, r.F.Buf, filled(r.F.N, float32(garbage)))
		return
	}
	e.mems = append(e.mems, r.Q.Mem, r.Scale.Mem, r.Sum.Mem)
	kernels.Upload(e.dev, r.Q, filled(r.Q.N, int8(99)))
	kernels.Upload(e.dev, r.Scale, filled(r.Scale.N, float32(garbage)))
	kernels.Upload(e.dev, r.Sum, filled(r.Sum.N, int32(garbage)))
}

func filled[T kernels.Elem](n int, v T) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = v
	}
	return x
}

// normal returns n random numbers: normal, and now and then an outlier.
func (e *env) normal(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		if x[i] = float32(e.rand.NormFloat64()); e.rand.IntN(50) == 0 {
			x[i] *= 20
		}
	}
	return x
}

// ints returns n random integers in lo..hi.
func (e *env) ints(n, lo, hi int) []int8 {
	x := make([]int8, n)
	for i := range x {
		x[i] = int8(lo + e.rand.IntN(hi-lo+1))
	}
	return x
}

// near fails where got is not within tol of want. what names the value.
func (e *env) near(got float32, want, tol float64, what string, at ...int) {
	e.Helper()
	if d := math.Abs(float64(got) - want); !(d <= tol) {
		e.Fatalf("%s %v is %v, want %v ± %.3g", what, at, got, want, tol)
	}
}

// equal fails where two slices differ.
func equal[T kernels.Elem](e *env, what string, got, want []T) {
	e.Helper()
	if len(got) != len(want) {
		e.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			e.Fatalf("%s: element %d of %d is %v, want %v", what, i, len(want), got[i], want[i])
		}
	}
}
