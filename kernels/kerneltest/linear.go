package kerneltest

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// weight is a kernels.Weight and its values without scale, [Out, In].
type weight struct {
	kernels.Weight
	values []float64
	scale  []float32
}

// newWeight returns a weight of stored rows: row i of w as bytes.
func (e *env) newWeight(typ kernels.WeightType, out, in int, row func(dst []byte, i int)) *weight {
	w := &weight{Weight: kernels.Weight{Type: typ, Out: out, In: in}}
	data := make([]byte, out*typ.RowBytes(in))
	for i := range out {
		row(data[i*typ.RowBytes(in):][:typ.RowBytes(in)], i)
	}
	w.Data = upload(e, data)
	return w
}

// floatWeight returns random weights of a float type.
func (e *env) floatWeight(typ kernels.WeightType, out, in int) *weight {
	x := e.normal(out * in)
	var values []float64
	w := e.newWeight(typ, out, in, func(dst []byte, i int) {
		for j, v := range x[i*in:][:in] {
			switch typ {
			case kernels.Float16:
				h := quant.Float16(v)
				binary.LittleEndian.PutUint16(dst[2*j:], h)
				v = quant.Float16To32(h)
			case kernels.BFloat16:
				h := quant.BFloat16(v)
				binary.LittleEndian.PutUint16(dst[2*j:], h)
				v = quant.BFloat16To32(h)
			case kernels.Float32:
				binary.LittleEndian.PutUint32(dst[4*j:], math.Float32bits(v))
			}
			values = append(values, float64(v))
		}
	})
	w.values = values
	return w
}

// intWeight returns random weights with the extremes among them. unit says that
// all scales are 1.
func (e *env) intWeight(typ kernels.WeightType, out, in int, unit bool) *weight {
	lo, hi := -127, 127
	if typ == kernels.Int4 {
		lo, hi = quant.Int4Min, quant.Int4Max
	}
	q := e.ints(out*in, lo, hi)
	for i := range in { // rows of one sign reach the largest sums
		q[i], q[len(q)-1-i] = int8(lo), int8(hi)
	}
	w := e.newWeight(typ, out, in, func(dst []byte, i int) {
		if typ == kernels.Int4 {
			quant.PackInt4(dst, q[i*in:][:in])
			return
		}
		for j, v := range q[i*in:][:in] {
			dst[j] = uint8(v)
		}
	})
	for _, v := range q {
		w.values = append(w.values, float64(v))
	}
	for range out {
		s := float32(1)
		if !unit {
			s = e.rand.Float32() * 0.1
		}
		w.scale = append(w.scale, s)
	}
	w.Scale = upload(e, w.scale)
	return w
}

// weightScale is the scale of output channel i.
func (w *weight) weightScale(i int) float64 {
	if w.scale == nil {
		return 1
	}
	return float64(w.scale[i])
}

// intRows returns random activations with the extremes among them.
func (e *env) intRows(n, cols, bits int, unit bool) (r kernels.Rows, q []int8, scale []float32) {
	qmax := int(quant.ActivationMax(bits))
	q = e.ints(n*cols, -qmax, qmax)
	for i := range cols {
		q[i], q[len(q)-1-i] = int8(qmax), int8(-qmax)
	}
	r = e.rows(n, cols, bits)
	padded := make([]int8, r.Q.N)
	sums := make([]int32, n)
	for i := range n {
		for j, v := range q[i*cols:][:cols] {
			padded[i*r.Stride+j] = v
			sums[i] += int32(v)
		}
		s := float32(1)
		if !unit {
			s = e.rand.Float32() * 0.1
		}
		scale = append(scale, s)
	}
	kernels.Upload(e.dev, r.Q, padded)
	kernels.Upload(e.dev, r.Scale, scale)
	kernels.Upload(e.dev, r.Sum, sums)
	return r, q, scale
}

var linearShapes = []struct{ tokens, in int }{
	{1, 8}, {1, 172}, {2, 64}, {3, 192}, {5, 320}, {8, 64}, {17, 576}, {66, 192},
}

// outs are the widths of the weights that one Linear multiplies, side by side.
var linearOuts = [][]int{{1}, {7, 3, 64}, {65}}

// testLinearInt: Σ is exact; with scales of 1 so is the result. Otherwise the
// scales' product, Σ as a float32 and their product are rounded: 3·eps, and 1 for
// their products among themselves.
func testLinearInt(e *env) {
	for _, typ := range []kernels.WeightType{kernels.Int4, kernels.Int8} {
		for _, shape := range linearShapes {
			for i, outs := range linearOuts {
				for _, unit := range []bool{true, false} {
					bits := rowBits[i]
					x, q, xScale := e.intRows(shape.tokens, shape.in, bits, unit)
					values := make([]float64, len(q))
					for i, v := range q {
						values[i] = float64(v)
					}
					var ws []*weight
					for _, out := range outs {
						ws = append(ws, e.intWeight(typ, out, shape.in, unit))
					}
					name := fmt.Sprintf("%v %d bits, %d tokens, %d inputs, outputs %v", typ, bits, shape.tokens, shape.in, outs)
					e.checkLinear(name, x, ws, values, func(t int) float64 { return float64(xScale[t]) },
						func(sum, _ float64) float64 {
							if unit {
								return 0
							}
							return 4 * eps * math.Abs(sum)
						})
				}
			}
		}
	}
}

// testLinearFloat: a dot of n terms errs by at most n·eps·Σ|w·x| in any order of
// summation (Higham, §3.1), and the scale rounds once more.
//
// A device that rounds activations (kernels.ActivationRounder) must give the sums of the
// rounded ones. Its tensor cores add 16 exact products to a sum at a time, of tf32 8: each
// of them and the sum is cut at a unit of the last place of the largest, then the result
// again: 18, or 10, times 2·eps of at most Σ|w·x|. Float32 operands are two tf32 each, so
// that all is done four times.
func testLinearFloat(e *env) {
	for _, typ := range []kernels.WeightType{kernels.Int4, kernels.Int8, kernels.Float16, kernels.BFloat16, kernels.Float32} {
		round, errorOf := e.rounding(typ)
		for _, shape := range linearShapes {
			for _, outs := range linearOuts {
				x := e.rows(shape.tokens, shape.in, 16)
				values := e.normal(shape.tokens * shape.in)
				values[0], values[len(values)-1] = 1+1.0/2048, 1e-6 // a tie of float16's; one of its subnormals
				padded, wide := make([]float32, x.F.N), make([]float64, len(values))
				for i, v := range values {
					padded[i/shape.in*x.Stride+i%shape.in], wide[i] = v, float64(round(v))
				}
				kernels.Upload(e.dev, x.F.Buf, padded)
				var ws []*weight
				for _, out := range outs {
					if typ.Quantized() {
						ws = append(ws, e.intWeight(typ, out, shape.in, false))
					} else {
						ws = append(ws, e.floatWeight(typ, out, shape.in))
					}
				}
				name := fmt.Sprintf("%v floats, %d tokens, %d inputs, outputs %v", typ, shape.tokens, shape.in, outs)
				e.checkLinear(name, x, ws, wide, func(int) float64 { return 1 },
					func(_, abs float64) float64 { return (errorOf(shape.in) + 2) * eps * abs })
			}
		}
	}
}

// rounding is what the device does to an activation before it multiplies it with weights
// of a type, and by how many eps·Σ|w·x| a sum of n products may err.
func (e *env) rounding(typ kernels.WeightType) (round func(float32) float32, errorOf func(n int) float64) {
	round = func(x float32) float32 { return x }
	r, ok := e.dev.(kernels.ActivationRounder)
	if !ok {
		return round, func(n int) float64 { return float64(n) }
	}
	errorOf = func(n int) float64 { return float64(quant.Align(n)) / 16 * 18 * 2 }
	switch r.ActivationType(typ) {
	case kernels.Float16:
		return func(x float32) float32 { return quant.Float16To32(quant.Float16(x)) }, errorOf
	case kernels.BFloat16:
		return func(x float32) float32 { return quant.BFloat16To32(quant.BFloat16(x)) }, errorOf
	default:
		return round, func(n int) float64 { return float64(quant.Align(n)) / 8 * 10 * 2 * 4 }
	}
}

// checkLinear runs Linear with all weights, and LinearAdd with each. x are the
// rows' values without scale; tol gives the tolerance of a result from its value and
// from the same sum over absolute values. The residual's addition rounds once.
func (e *env) checkLinear(name string, rows kernels.Rows, ws []*weight, x []float64, xScale func(t int) float64, tol func(sum, abs float64) float64) {
	e.Helper()
	var total int
	var weights []kernels.Weight
	for _, w := range ws {
		total += w.Out
		weights = append(weights, w.Weight)
	}
	linear := e.outFloats(rows.N, total)
	e.dev.Linear(linear, rows, weights...)
	got := e.contents(linear)

	first := 0
	for _, w := range ws {
		residual := e.ints(rows.N*w.Out, -100, 100)
		base := make([]float32, len(residual))
		for i, v := range residual {
			base[i] = float32(v)
		}
		added := e.floats(base, rows.N, w.Out)
		e.dev.LinearAdd(added, rows, w.Weight)
		sums := e.contents(added)
		for t := range rows.N {
			for o := range w.Out {
				var sum, abs float64
				for i, v := range x[t*rows.Cols:][:rows.Cols] {
					p := v * w.values[o*rows.Cols+i]
					sum, abs = sum+p, abs+math.Abs(p)
				}
				s := w.weightScale(o) * xScale(t)
				sum, abs = sum*s, abs*s
				e.near(got[t*total+first+o], sum, tol(sum, abs), "Linear "+name, t, first+o)
				r := float64(base[t*w.Out+o])
				e.near(sums[t*w.Out+o], r+sum, tol(sum, abs)*(1+eps)+tolAdd(tol(sum, abs), r+sum), "LinearAdd "+name, t, o)
			}
		}
		first += w.Out
	}
}

// tolAdd is the rounding of an addition; of integers, whose tolerance is 0, none.
func tolAdd(tol, sum float64) float64 {
	if tol == 0 {
		return 0
	}
	return eps * (math.Abs(sum) + tol)
}
