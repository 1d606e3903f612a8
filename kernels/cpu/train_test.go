package cpu

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// trainCase makes operands on a device and holds gradients to finite differences.
type trainCase struct {
	t *testing.T
	d *Device
	r *rand.Rand
	// known are the slopes that the first case found: the others draw the same operands.
	known *[]slope
	asked int
}

type slope struct{ x, g []float64 }

// eachTrainCase runs f on every instruction set with one and with three threads, and
// wants the same bits of all: f returns what the operators made.
func eachTrainCase(t *testing.T, f func(c *trainCase) [][]float32) {
	var first [][]float32
	var known []slope
	eachISA(t, func(t *testing.T, k *isa) {
		for _, workers := range []int{1, 3} {
			d := must(New(workers, k.name))
			defer d.Close()
			got := f(&trainCase{t, d, rand.New(rand.NewPCG(7, 7)), &known, 0})
			if err := d.Sync(); err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = got
			}
			for i := range got {
				if !slices.EqualFunc(got[i], first[i], sameFloat) {
					t.Errorf("result %d depends on the instruction set or the number of threads", i)
				}
			}
		}
	})
}

// floats returns a random matrix whose rows are some columns of longer ones.
func (c *trainCase) floats(rows, cols int) kernels.Floats {
	f := kernels.Floats{Rows: rows, Cols: cols + 3, Stride: cols + 5}
	f.Buf = must(kernels.Alloc[float32](c.d, rows*f.Stride))
	for i, v := 0, view(f.Buf); i < len(v); i++ {
		v[i] = float32(c.r.NormFloat64())
	}
	return f.Columns(2, cols+2)
}

func (c *trainCase) vector(n int) kernels.Buf[float32] {
	b := must(kernels.Alloc[float32](c.d, n))
	for i, v := 0, view(b); i < n; i++ {
		v[i] = float32(c.r.NormFloat64())
	}
	return b
}

func (c *trainCase) ints(v []int32) kernels.Buf[int32] {
	b := must(kernels.Alloc[int32](c.d, len(v)))
	copy(view(b), v)
	return b
}

// dense returns f's elements without what is between its rows.
func dense(f kernels.Floats) []float32 {
	v := make([]float32, 0, f.Rows*f.Cols)
	for i := range f.Rows {
		v = append(v, view(f.Buf)[i*f.Stride:][:f.Cols]...)
	}
	return v
}

// wide is x in float64.
func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// near wants got to be want, up to tol of the largest of want.
func (c *trainCase) near(name string, got []float32, want []float64, tol float64) {
	c.t.Helper()
	top := 0.0
	for _, v := range want {
		top = max(top, math.Abs(v))
	}
	for i, w := range want {
		if !(math.Abs(float64(got[i])-w) <= tol*top) {
			c.t.Fatalf("%s[%d] is %v, want %v (largest %v)", name, i, got[i], w, top)
		}
	}
}

// slopes returns d loss/dx by central differences in float64, whose error is about
// 1e-16/1e-5 + (1e-5)²: far below float32's.
func (c *trainCase) slopes(x []float64, loss func() float64) []float64 {
	const h = 1e-5
	if c.asked++; c.asked <= len(*c.known) {
		known := (*c.known)[c.asked-1]
		if !slices.Equal(x, known.x) {
			c.t.Fatal("other operands than in the first case")
		}
		return known.g
	}
	g := make([]float64, len(x))
	for i, v := range x {
		x[i] = v + h
		up := loss()
		x[i] = v - h
		g[i], x[i] = (up-loss())/(2*h), v
	}
	*c.known = append(*c.known, slope{slices.Clone(x), g})
	return g
}

func dot64(x, y []float64) (sum float64) {
	for i, v := range x {
		sum += v * y[i]
	}
	return sum
}

// Sums of at most a few hundred products of numbers near 1 are off by some 100·2⁻²⁴
// of their largest terms; 1e-4 of the largest result is well above, and well below
// what a wrong term makes.
const trainTolerance = 1e-4

func TestRMSNormGrad(t *testing.T) {
	eachTrainCase(t, func(c *trainCase) [][]float32 {
		const rows, cols, eps = 131, 12, 1e-5
		x, dy, dx := c.floats(rows, cols), c.floats(rows, cols), c.floats(rows, cols)
		w, dw := c.vector(cols), c.vector(cols)
		dx0, dw0 := wide(dense(dx)), wide(view(dw))
		x64, w64, dy64 := wide(dense(x)), wide(view(w)), wide(dense(dy))
		c.d.RMSNormGrad(dx, dw, dy, x, w, eps)
		row := func(i int) (sum float64) {
			x, dy := x64[i*cols:][:cols], dy64[i*cols:][:cols]
			r := 1 / math.Sqrt(dot64(x, x)/cols+eps)
			for j, v := range x {
				sum += v * r * w64[j] * dy[j]
			}
			return sum
		}
		for i := range rows {
			for j, g := range c.slopes(x64[i*cols:][:cols], func() float64 { return row(i) }) {
				dx0[i*cols+j] += g
			}
		}
		for j, g := range c.slopes(w64, func() (sum float64) {
			for i := range rows {
				sum += row(i)
			}
			return sum
		}) {
			dw0[j] += g
		}
		c.near("dx", dense(dx), dx0, trainTolerance)
		c.near("dw", view(dw), dw0, trainTolerance)
		return [][]float32{dense(dx), view(dw)}
	})
}

func TestSwiGLUGrad(t *testing.T) {
	eachTrainCase(t, func(c *trainCase) [][]float32 {
		const rows, cols = 9, 13
		x, dy, dx := c.floats(rows, 2*cols), c.floats(rows, cols), c.floats(rows, 2*cols)
		view(x.Buf)[0], view(x.Buf)[1] = 90, -90
		c.d.SwiGLUGrad(dx, dy, x)
		x64, dy64 := wide(dense(x)), wide(dense(dy))
		want := c.slopes(x64, func() (sum float64) {
			for i := range rows {
				for j := range cols {
					g, u := x64[i*2*cols+j], x64[i*2*cols+cols+j]
					sum += g / (1 + math.Exp(-g)) * u * dy64[i*cols+j]
				}
			}
			return sum
		})
		c.near("dx", dense(dx), want, trainTolerance)
		return [][]float32{dense(dx)}
	})
}

// attention64 is causal attention in float64, of one sequence.
func attention64(q, k, v []float64, heads, kvHeads, dim int) []float64 {
	n := len(q) / (heads * dim)
	out := make([]float64, len(q))
	for i := range n {
		for h := range heads {
			at, kv := (i*heads+h)*dim, h/(heads/kvHeads)*dim
			p, sum := make([]float64, i+1), 0.0
			for j := range p {
				p[j] = math.Exp(dot64(q[at:][:dim], k[j*kvHeads*dim+kv:][:dim]) / math.Sqrt(float64(dim)))
				sum += p[j]
			}
			for j := range p {
				for e := range dim {
					out[at+e] += p[j] / sum * v[j*kvHeads*dim+kv+e]
				}
			}
		}
	}
	return out
}

func TestCausalAttention(t *testing.T) {
	for _, s := range []struct {
		heads, kvHeads, dim int
		start               []int32
	}{
		{4, 2, 8, []int32{0, 3, 4, 4, 17}},
		{2, 2, 5, []int32{0, 9}},
		{2, 1, 66, []int32{0, 5}},
	} {
		eachTrainCase(t, func(c *trainCase) [][]float32 {
			n := int(s.start[len(s.start)-1])
			seqs := kernels.Sequences{Start: c.ints(s.start), N: len(s.start) - 1, Longest: n, HeadDim: s.dim}
			qCols, kCols := s.heads*s.dim, s.kvHeads*s.dim
			q, k, v := c.floats(n, qCols), c.floats(n, kCols), c.floats(n, kCols)
			out, dout, stats := c.floats(n, qCols), c.floats(n, qCols), c.floats(n, 2*s.heads)
			dq, dk, dv := c.floats(n, qCols), c.floats(n, kCols), c.floats(n, kCols)
			c.d.CausalAttention(out, stats, q, k, v, seqs)
			c.d.CausalAttentionGrad(dq, dk, dv, dout, stats, q, k, v, seqs)
			q64, k64, v64, dout64 := wide(dense(q)), wide(dense(k)), wide(dense(v)), wide(dense(dout))
			run := func() (all []float64) {
				for i := range seqs.N {
					from, to := int(s.start[i]), int(s.start[i+1])
					all = append(all, attention64(q64[from*qCols:to*qCols], k64[from*kCols:to*kCols], v64[from*kCols:to*kCols], s.heads, s.kvHeads, s.dim)...)
				}
				return all
			}
			c.near("out", dense(out), run(), trainTolerance)
			alone := c.floats(n, 2*s.heads)
			c.d.CausalAttention(kernels.Floats{}, alone, q, k, v, seqs)
			if !slices.Equal(dense(alone), dense(stats)) {
				t.Error("stats alone differ from those beside attention")
			}
			loss := func() float64 { return dot64(run(), dout64) }
			c.near("dq", dense(dq), c.slopes(q64, loss), trainTolerance)
			c.near("dk", dense(dk), c.slopes(k64, loss), trainTolerance)
			c.near("dv", dense(dv), c.slopes(v64, loss), trainTolerance)
			return [][]float32{dense(out), dense(dq), dense(dk), dense(dv)}
		})
	}
}

// Several blocks of rows: the gradient against the plain formula in float64, after one of
// NaNs, of which nothing may stay.
func TestCausalAttentionLong(t *testing.T) {
	eachTrainCase(t, func(c *trainCase) [][]float32 {
		const n, dim = 2*attendRows + 7, 8
		seqs := kernels.Sequences{Start: c.ints([]int32{0, n}), N: 1, Longest: n, HeadDim: dim}
		q, k, v := c.floats(n, dim), c.floats(n, dim), c.floats(n, dim)
		out, dout, stats := c.floats(n, dim), c.floats(n, dim), c.floats(n, 2)
		dq, dk, dv := c.floats(n, dim), c.floats(n, dim), c.floats(n, dim)
		more, nan, s := c.floats(n+1, dim), c.floats(n+1, dim), c.floats(n+1, 2)
		for i := range view(nan.Buf) {
			view(nan.Buf)[i] = float32(math.NaN())
		}
		longer := kernels.Sequences{Start: c.ints([]int32{0, n + 1}), N: 1, Longest: n + 1, HeadDim: dim}
		c.d.CausalAttention(c.floats(n+1, dim), s, more, more, more, longer)
		c.d.CausalAttentionGrad(c.floats(n+1, dim), c.floats(n+1, dim), c.floats(n+1, dim), nan, s, more, more, more, longer)
		c.d.CausalAttention(out, stats, q, k, v, seqs)
		c.d.CausalAttentionGrad(dq, dk, dv, dout, stats, q, k, v, seqs)
		q64, k64, v64, g64 := wide(dense(q)), wide(dense(k)), wide(dense(v)), wide(dense(dout))
		c.near("out", dense(out), attention64(q64, k64, v64, 1, 1, dim), trainTolerance)
		wq, wk, wv := make([]float64, n*dim), make([]float64, n*dim), make([]float64, n*dim)
		for i := range n {
			p, sum, mean := make([]float64, i+1), 0.0, 0.0
			dp := make([]float64, i+1)
			for j := range p {
				p[j] = math.Exp(dot64(q64[i*dim:][:dim], k64[j*dim:][:dim]) / math.Sqrt(dim))
				sum += p[j]
				dp[j] = dot64(g64[i*dim:][:dim], v64[j*dim:][:dim])
			}
			for j := range p {
				p[j] /= sum
				mean += p[j] * dp[j]
			}
			for j := range p {
				ds := p[j] * (dp[j] - mean) / math.Sqrt(dim)
				for e := range dim {
					wq[i*dim+e] += ds * k64[j*dim+e]
					wk[j*dim+e] += ds * q64[i*dim+e]
					wv[j*dim+e] += p[j] * g64[i*dim+e]
				}
			}
		}
		c.near("dq", dense(dq), wq, trainTolerance)
		c.near("dk", dense(dk), wk, trainTolerance)
		c.near("dv", dense(dv), wv, trainTolerance)
		return [][]float32{dense(dq), dense(dk), dense(dv)}
	})
}

func TestDistill(t *testing.T) {
	for _, soft := range []float32{1, 0, 0.25} {
		eachTrainCase(t, func(c *trainCase) [][]float32 {
			const rows, vocab, weight = 5, 21, 0.125
			s, teacher, grad, stats := c.floats(rows, vocab), c.floats(rows, vocab), c.floats(rows, vocab), c.floats(rows, 4)
			targets := []int32{3, -1, 20, 0, 7}
			s64, t64 := wide(dense(s)), wide(dense(teacher))
			row := func(i int) (kl, ce, teacherCE float64) {
				q, p := softmax64(s64[i*vocab:][:vocab]), softmax64(t64[i*vocab:][:vocab])
				return kl64(p, q), -math.Log(q[targets[i]]), -math.Log(p[targets[i]])
			}
			want := c.slopes(s64, func() (sum float64) {
				for i, target := range targets {
					if target >= 0 {
						kl, ce, _ := row(i)
						sum += weight * (float64(soft)*kl + (1-float64(soft))*ce)
					}
				}
				return sum
			})
			var wantStats []float64
			for i, target := range targets {
				if target < 0 {
					wantStats = append(wantStats, 0, 0, 0, 0)
					continue
				}
				kl, ce, teacherCE := row(i)
				same := 0.0
				if slices.Index(s64[i*vocab:][:vocab], slices.Max(s64[i*vocab:][:vocab])) == slices.Index(t64[i*vocab:][:vocab], slices.Max(t64[i*vocab:][:vocab])) {
					same = 1
				}
				wantStats = append(wantStats, kl, ce, teacherCE, same)
			}
			c.d.Distill(grad, stats, s, teacher, c.ints(targets), soft, weight)
			c.near("dLogits", dense(grad), want, trainTolerance)
			c.near("stats", dense(stats), wantStats, trainTolerance)
			return [][]float32{dense(grad), dense(stats)}
		})
	}
}

func TestEmbedGrad(t *testing.T) {
	eachTrainCase(t, func(c *trainCase) [][]float32 {
		const vocab, cols = 6, 21
		ids := []int32{5, 0, 5, 5, 2}
		table, dout := c.floats(vocab, cols), c.floats(len(ids), cols)
		want := dense(table)
		for i, id := range ids {
			for j, v := range dense(dout)[i*cols:][:cols] {
				want[int(id)*cols+j] += v
			}
		}
		c.d.EmbedGrad(table, dout, c.ints(ids))
		if !slices.Equal(dense(table), want) {
			t.Errorf("table is %v, want %v", dense(table), want)
		}
		return [][]float32{dense(table)}
	})
}

// Turning and turning back gives what was there; turning is RoPEAppendKV's rotation.
func TestRotate(t *testing.T) {
	eachTrainCase(t, func(c *trainCase) [][]float32 {
		const dim, rows = 6, 20
		rope := kernels.RoPE{Positions: 32, HeadDim: dim}
		rope.Cos, rope.Sin = c.vector(32*dim/2), c.vector(32*dim/2)
		positions := make([]int32, rows)
		for i := range positions {
			positions[i] = int32(i * 7 % 32)
		}
		for i := range view(rope.Cos) {
			s, co := fp.SinCos(float64(i))
			view(rope.Cos)[i], view(rope.Sin)[i] = float32(co), float32(s)
		}
		x := c.floats(rows, 3*dim)
		before := dense(x)
		c.d.Rotate(x, c.ints(positions), rope, false)
		turned := dense(x)
		want := make([]float64, len(turned))
		for i := range rows {
			for h := range 3 {
				for j := range dim / 2 {
					at := (i*3+h)*dim + j
					co, s := float64(view(rope.Cos)[int(positions[i])*dim/2+j]), float64(view(rope.Sin)[int(positions[i])*dim/2+j])
					a, b := float64(before[at]), float64(before[at+dim/2])
					want[at], want[at+dim/2] = a*co-b*s, b*co+a*s
				}
			}
		}
		c.near("turned", turned, want, 1e-6)
		c.d.Rotate(x, c.ints(positions), rope, true)
		c.near("turned back", dense(x), wide(before), 1e-6)
		return [][]float32{turned, dense(x)}
	})
}

// Fake quantization is what the serving operators' integers stand for, by ==.
func TestFakeQuantize(t *testing.T) {
	eachTrainCase(t, func(c *trainCase) [][]float32 {
		const rows, cols = 7, 77
		x, out := c.floats(rows, cols), c.floats(rows, cols)
		clear(view(x.Buf)[3*x.Stride:][:cols])
		var all [][]float32
		for _, groups := range []int{1, 7, 11} {
			for _, bits := range []int{16, 8, 6, 4} {
				c.d.FakeQuantize(out, x, groups, bits)
				want, q := dense(x), make([]int8, cols)
				size := cols / groups
				for i := 0; bits < 16 && i < len(want); i += size {
					scale, _, _ := quant.Activations(q[:size], want[i:][:size], bits)
					for j := range size {
						want[i+j] = float32(q[j]) * scale
					}
				}
				if !slices.Equal(dense(out), want) {
					t.Errorf("activations of %d bits differ in %d groups", bits, groups)
				}
				all = append(all, dense(out))
			}
		}
		for _, bits := range []int{8, 4} {
			r, want := must(kernels.NewRows(c.d, rows, cols, bits)), c.floats(rows, cols)
			padded := must(kernels.NewFloats(c.d, rows, cols))
			c.d.Copy(padded, x)
			c.d.Quantize(r, padded)
			c.d.FakeQuantize(want, x, 1, bits)
			c.d.Dequantize(out, r)
			if !slices.Equal(dense(out), dense(want)) {
				t.Errorf("integers of %d bits stand for something else", bits)
			}
		}
		step := c.vector(rows)
		for _, bits := range []int{8, 4} {
			c.d.WeightSteps(step, x, bits)
			for i := range view(step) { // below MinMax's: the range ends before the weights do
				view(step)[i] *= 0.7
			}
			c.d.FakeQuantizeWeight(out, x, step, bits)
			lo, hi := quant.WeightRange(bits)
			want, q := dense(x), make([]int8, cols)
			for i := range rows {
				scale := must(quant.WeightScale(dense(x)[i*cols:][:cols], bits)) * 0.7
				quant.WeightRowScaled(q, dense(x)[i*cols:][:cols], scale, lo, hi)
				for j := range q {
					want[i*cols+j] = float32(q[j]) * scale
				}
			}
			if !slices.Equal(dense(out), want) {
				t.Errorf("weights of %d bits differ", bits)
			}
			all = append(all, dense(out))
		}
		view(x.Buf)[5*x.Stride] = float32(math.NaN())
		c.d.FakeQuantize(out, x, 1, 8)
		if err := c.d.Sync(); err == nil {
			t.Error("a NaN went through")
		}
		return all
	})
}

func TestFakeQuantizeReleased(t *testing.T) {
	eachTrainCase(t, func(c *trainCase) [][]float32 {
		const rows, cols = 40, 13
		x, out := c.floats(rows, cols), c.floats(rows, cols)
		var all [][]float32
		for _, bits := range []int{8, 4} {
			want := dense(x)
			for i := range rows {
				quant.Released(want[i*cols:][:cols], want[i*cols:][:cols], bits)
			}
			c.d.FakeQuantizeReleased(out, x, bits)
			if !slices.Equal(dense(out), want) {
				t.Errorf("%d bits differ", bits)
			}
			all = append(all, dense(out))
		}
		view(x.Buf)[3*x.Stride+5] = float32(math.NaN())
		c.d.FakeQuantizeReleased(x, x, 8)
		if err := c.d.Sync(); !errors.Is(err, quant.ErrNotFinite) || !strings.Contains(err.Error(), "row 3") {
			t.Errorf("a NaN in row 3: %v", err)
		}
		return all
	})
}

func TestFakeQuantizeKV(t *testing.T) {
	eachTrainCase(t, func(c *trainCase) [][]float32 {
		const rows, heads, dim = 5, 3, 8
		var all [][]float32
		for _, f := range []quant.KV{{Bits: 4, Scheme: quant.KVToken}, {Bits: 4, Scheme: quant.KVHead}, {Bits: 4, Scheme: quant.KVHeadZP}, {Bits: 8, Scheme: quant.KVHeadZP}, {Bits: 16}} {
			x := c.floats(rows, heads*dim)
			want := dense(x)
			if f.Quantized() {
				size := heads * dim / f.Groups(heads)
				for i := 0; i < len(want); i += size {
					scale, zero, _ := f.KVScale(quant.MinMax(want[i:][:size]))
					for h := i; h < i+size; h += dim {
						p := make([]uint8, f.VectorBytes(dim))
						f.KVStore(p, want[h:][:dim], scale, zero)
						f.KVLoad(want[h:][:dim], p, scale, zero)
					}
				}
			}
			c.d.FakeQuantizeKV(x, f, heads)
			if !slices.Equal(dense(x), want) {
				t.Errorf("%+v differs", f)
			}
			all = append(all, dense(x))
			for _, v := range []float64{1e6, math.Inf(1), math.NaN()} {
				bad := c.floats(rows, heads*dim)
				view(bad.Buf)[3*bad.Stride+5] = float32(v)
				c.d.FakeQuantizeKV(bad, f, heads)
				if err := c.d.Sync(); f.Quantized() && (!errors.Is(err, quant.ErrNotFinite) || !strings.Contains(err.Error(), "row 3")) {
					t.Errorf("%+v: %v in row 3: %v", f, v, err)
				}
			}
		}
		return all
	})
}

// The steps' gradient, straight through rounding: within a cell round(v) moves with
// v, so w and step are both moved by the same part of themselves and what is left is
// the value at which the range ends.
func TestFakeQuantizeWeightGrad(t *testing.T) {
	eachTrainCase(t, func(c *trainCase) [][]float32 {
		const rows, cols, bits = 4, 33, 4
		w, dw := c.floats(rows, cols), c.floats(rows, cols)
		step, dstep := c.vector(rows), c.vector(rows)
		for i := range view(step) {
			view(step)[i] = 0.1 + 0.1*float32(i)
		}
		view(step)[2] = 0 // an all-zero row's
		clear(view(w.Buf)[2*w.Stride:][:cols])
		g := wide(dense(dw))
		c.d.FakeQuantizeWeightGrad(dw, dstep, w, step, bits)
		lo, hi := quant.WeightRange(bits)
		wantStep, wantW, out := make([]float64, rows), slices.Clone(g), 0
		for i := range rows {
			for j := range cols {
				v := 0.0
				if s := view(step)[i]; s > 0 {
					v = float64(dense(w)[i*cols+j] / s)
				}
				switch q := math.RoundToEven(v); {
				case v < float64(lo):
					wantStep[i] += g[i*cols+j] * float64(lo)
					wantW[i*cols+j] = 0
					out++
				case v > float64(hi):
					wantStep[i] += g[i*cols+j] * float64(hi)
					wantW[i*cols+j] = 0
					out++
				default:
					wantStep[i] += g[i*cols+j] * (q - v)
				}
			}
			wantStep[i] /= math.Sqrt(cols * float64(hi))
		}
		if out == 0 {
			t.Fatal("no weight is out of the range")
		}
		c.near("dw", dense(dw), wantW, 1e-6)
		c.near("dstep", view(dstep), wantStep, trainTolerance)
		return [][]float32{dense(dw), view(dstep)}
	})
}

func TestGateGrad(t *testing.T) {
	eachTrainCase(t, func(c *trainCase) [][]float32 {
		x, dx := c.floats(40, 5), c.floats(40, 5)
		below := math.Nextafter32(2, 0)
		copy(view(x.Buf)[3*x.Stride:], []float32{2, -2, below, -below, 0})
		want := dense(dx)
		for i, v := range dense(x) {
			if math.Abs(float64(v)) >= 2 {
				want[i] = 0
			}
		}
		if want[15] != 0 || want[16] != 0 || want[17] == 0 || want[18] == 0 {
			t.Fatalf("row 3 is %v", want[15:20])
		}
		c.d.GateGrad(dx, x, 2)
		if !slices.Equal(dense(dx), want) {
			t.Errorf("gradients are %v, want %v", dense(dx), want)
		}
		return [][]float32{dense(dx)}
	})
}

func TestAdamW(t *testing.T) {
	eachTrainCase(t, func(c *trainCase) [][]float32 {
		w, g, m, v := c.floats(5, 9), c.floats(5, 9), c.floats(5, 9), c.floats(5, 9)
		for i := range view(v.Buf) {
			view(v.Buf)[i] = float32(math.Abs(float64(view(v.Buf)[i])))
		}
		o := kernels.AdamWStep{LearningRate: 0.01, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.1, Correct1: 0.3, Correct2: 0.02, GradScale: 0.5}
		w64, g64, m64, v64 := wide(dense(w)), wide(dense(g)), wide(dense(m)), wide(dense(v))
		for i := range w64 {
			x := g64[i] * 0.5
			m64[i] = 0.9*m64[i] + 0.1*x
			v64[i] = 0.999*v64[i] + 0.001*x*x
			w64[i] -= 0.01 * (m64[i]/0.3/(math.Sqrt(v64[i]/0.02)+1e-8) + 0.1*w64[i])
		}
		c.d.AdamW(w, g, m, v, o)
		c.near("w", dense(w), w64, 1e-6)
		c.near("m", dense(m), m64, 1e-6)
		c.near("v", dense(v), v64, 1e-6)
		squares := c.vector(5)
		c.d.RowSquares(squares, w)
		for i := range 5 {
			row := wide(dense(w)[i*9:][:9])
			c.near("squares", view(squares)[i:i+1], []float64{dot64(row, row)}, 1e-6)
		}
		o.Least = 0.25
		c.d.AdamW(w, g, m, v, o)
		if least := slices.Min(dense(w)); least != 0.25 {
			t.Errorf("the least weight is %v, want 0.25", least)
		}
		got := dense(w)
		c.d.Clear(w)
		if slices.ContainsFunc(dense(w), func(v float32) bool { return v != 0 }) {
			t.Error("Clear left something")
		}
		return [][]float32{got, dense(m), dense(v), view(squares)}
	})
}
