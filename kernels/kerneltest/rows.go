package kerneltest

import (
	"fmt"
	"math"
	"strings"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

var (
	rowCols   = []int{8, 64, 172, 192, 300}
	rowCounts = []int{1, 3, 70}
	rowBits   = []int{4, 6, 8, 16}
)

// eachRows runs f for every shape and number of bits of rows.
func (e *env) eachRows(f func(n, cols, bits int)) {
	for _, n := range rowCounts {
		for _, cols := range rowCols {
			for _, bits := range rowBits {
				f(n, cols, bits)
			}
		}
	}
}

// readRows downloads rows and checks what holds for all: zero padding, Sum = ΣQ
// and |Q| <= qmax. It returns Q or F without padding, and the scales.
func (e *env) readRows(r kernels.Rows, name string) (q []int8, f, scale []float32) {
	e.Helper()
	if r.Bits == 16 {
		for i, v := range download(e, r.F.Buf) {
			if i%r.Stride < r.Cols {
				f = append(f, v)
			} else if v != 0 {
				e.Fatalf("%s: padding of row %d is %v", name, i/r.Stride, v)
			}
		}
		return nil, f, nil
	}
	qmax := int(quant.ActivationMax(r.Bits))
	sums := make([]int32, r.N)
	for i, v := range download(e, r.Q) {
		sums[i/r.Stride] += int32(v)
		if i%r.Stride < r.Cols {
			q = append(q, v)
		} else if v != 0 {
			e.Fatalf("%s: padding of row %d is %v", name, i/r.Stride, v)
		}
		if int(v) > qmax || int(v) < -qmax {
			e.Fatalf("%s: %v in row %d of %d bits", name, v, i/r.Stride, r.Bits)
		}
	}
	equal(e, name+" sums", download(e, r.Sum), sums)
	return q, nil, download(e, r.Scale)
}

// checkRows compares rows with want [N, Cols], floats that the device knows within
// a relative error of rel.
//
// The scale max|y|/qmax has that error, and its own rounding. A quotient y/scale
// may err by 2·rel and two roundings, relative to at most qmax, before it is
// rounded by half; so the product q·scale is within scale·(1/2 + qmax·(2·rel +
// 4·eps)) of y.
func (e *env) checkRows(r kernels.Rows, want []float64, rel, abs float64, name string) {
	e.Helper()
	q, f, scale := e.readRows(r, name)
	for i := range r.N {
		y := want[i*r.Cols:][:r.Cols]
		if r.Bits == 16 {
			for j, v := range y {
				e.near(f[i*r.Cols+j], v, rel*math.Abs(v)+abs, name, i, j)
			}
			continue
		}
		top := 0.0
		for _, v := range y {
			top = max(top, math.Abs(v))
		}
		qmax := float64(quant.ActivationMax(r.Bits))
		e.near(scale[i], top/qmax, (rel+eps)*top/qmax+abs, name+" scale", i)
		s := float64(scale[i])
		for j, v := range y {
			e.near(float32(q[i*r.Cols+j]), v/max(s, 1e-300), 0.5+qmax*(2*rel+4*eps)+abs, name, i, j)
		}
	}
}

func testQuantize(e *env) {
	e.eachRows(func(n, cols, bits int) {
		x := e.normal(n * cols)
		for i := range cols { // row 0: ties; the last row: zeros
			x[i] = float32(i%5) - 2.5
		}
		x[0] = quant.ActivationMax(8)
		if n > 1 {
			clear(x[(n-1)*cols:])
		}
		out := e.rows(n, cols, bits)
		e.dev.Quantize(out, e.floats(x, n, cols))
		name := fmt.Sprintf("[%d, %d] %d bits", n, cols, bits)
		q, f, scale := e.readRows(out, name)
		if bits == 16 {
			equal(e, name, f, x)
			return
		}
		for i := range n {
			want := make([]int8, cols)
			s, _, _ := quant.Activations(want, x[i*cols:][:cols], bits)
			equal(e, fmt.Sprintf("%s row %d", name, i), q[i*cols:][:cols], want)
			equal(e, fmt.Sprintf("%s scale of row %d", name, i), scale[i:i+1], []float32{s})
		}
	})
}

// testRMSNorm: a sum of n squares errs by at most n·eps relatively, in any order;
// the root halves it. Division, eps, root, reciprocal and two products round.
func testRMSNorm(e *env) {
	const epsilon = 1e-5
	e.eachRows(func(n, cols, bits int) {
		x, w := e.normal(n*cols), e.normal(cols)
		if n > 1 {
			clear(x[(n-1)*cols:])
			for i := range cols { // so small that eps counts
				x[i] *= 1e-3
			}
		}
		out := e.rows(n, cols, bits)
		e.dev.RMSNorm(out, e.floats(x, n, cols), upload(e, w), epsilon)
		want := make([]float64, n*cols)
		for i := range n {
			var ss float64
			for _, v := range x[i*cols:][:cols] {
				ss += float64(v) * float64(v)
			}
			r := 1 / math.Sqrt(ss/float64(cols)+float64(float32(epsilon)))
			for j := range cols {
				want[i*cols+j] = float64(x[i*cols+j]) * r * float64(w[j])
			}
		}
		e.checkRows(out, want, (float64(cols)/2+7)*eps, 1e-40, fmt.Sprintf("[%d, %d] %d bits", n, cols, bits))
	})
}

// testSwiGLU: exp within 2 units of the last place (4·eps), and a sum, quotient and
// product, each rounded; twice that is allowed. Gates below -88 give less than 1e-34.
func testSwiGLU(e *env) {
	e.eachRows(func(n, cols, bits int) {
		x := e.normal(n * 2 * cols)
		copy(x, []float32{0, 1e-30, -1e-30, 100, -100, 87.5, -87.5})
		out := e.rows(n, cols, bits)
		e.dev.SwiGLU(out, e.floats(x, n, 2*cols))
		want := make([]float64, n*cols)
		for i := range n {
			for j := range cols {
				g, u := float64(x[i*2*cols+j]), float64(x[i*2*cols+cols+j])
				want[i*cols+j] = g / (1 + math.Exp(-g)) * u
			}
		}
		e.checkRows(out, want, 14*eps, 1e-33, fmt.Sprintf("[%d, %d] %d bits", n, cols, bits))
	})
}

func testGather(e *env) {
	for _, cols := range []int{8, 172, 192} {
		x := e.normal(9 * cols)
		rows := []int32{8, 0, 3, 3, 7}
		out := e.outFloats(len(rows), cols)
		e.dev.Gather(out, e.floats(x, 9, cols), upload(e, rows))
		var want []float32
		for _, r := range rows {
			want = append(want, x[int(r)*cols:][:cols]...)
		}
		equal(e, fmt.Sprintf("%d columns", cols), e.contents(out), want)
	}
}

func testEmbed(e *env) {
	const vocab = 11
	ids := []int32{10, 0, 3, 3, 9}
	for _, typ := range []kernels.WeightType{kernels.Float16, kernels.BFloat16, kernels.Float32} {
		for _, cols := range []int{8, 64, 172} {
			w := e.floatWeight(typ, vocab, cols)
			out := e.outFloats(len(ids), cols)
			e.dev.Embed(out, w.Weight, upload(e, ids))
			var want []float32
			for _, id := range ids {
				for _, v := range w.values[int(id)*cols:][:cols] {
					want = append(want, float32(v))
				}
			}
			equal(e, fmt.Sprintf("%v, %d columns", typ, cols), e.contents(out), want)
		}
	}
}

// testNotFinite: an operator that meets a NaN or an infinity leaves an error that
// names it and the row, and the next Sync is clean.
func testNotFinite(e *env) {
	const n, cols, bad = 5, 64, 3
	for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		x := e.normal(n * 2 * cols)
		x[bad*cols+7], x[(bad+1)*cols] = v, v // the first such row is named
		in := e.floats(x[:n*cols], n, cols)
		gates := e.normal(n * 2 * cols)
		gates[bad*2*cols+7], gates[(bad+1)*2*cols] = v, v
		gu := e.floats(gates, n, 2*cols)
		for _, bits := range rowBits {
			out := e.rows(n, cols, bits)
			for _, op := range []struct {
				name string
				run  func()
			}{
				{"Quantize", func() { e.dev.Quantize(out, in) }},
				{"RMSNorm", func() { e.dev.RMSNorm(out, in, upload(e, e.normal(cols)), 1e-5) }},
				{"SwiGLU", func() { e.dev.SwiGLU(out, gu) }},
			} {
				op.run()
				err := e.dev.Sync()
				if err == nil || !strings.Contains(err.Error(), op.name) || !strings.Contains(err.Error(), fmt.Sprintf("row %d", bad)) {
					e.Errorf("%s of %d bits with %v in row %d: error %v", op.name, bits, v, bad, err)
				}
				if err := e.dev.Sync(); err != nil {
					e.Errorf("%s: the error stays after Sync: %v", op.name, err)
				}
			}
		}
	}
}
