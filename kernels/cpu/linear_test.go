package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// intLayer is a linear layer of several integer weights, and its definition.
type intLayer struct {
	tokens, in int
	x          []int8 // [tokens, in]
	xScale     []float32
	w          [][]int8 // of each weight: [out, in]
	wScale     [][]float32
	types      []kernels.WeightType
}

func newIntLayer(r *rand.Rand, tokens, in int, xMax int, types []kernels.WeightType, outs []int) *intLayer {
	l := &intLayer{tokens: tokens, in: in, x: make([]int8, tokens*in), types: types}
	for i := range l.x {
		l.x[i] = int8(r.IntN(2*xMax+1) - xMax)
	}
	for range tokens {
		l.xScale = append(l.xScale, r.Float32())
	}
	for i, out := range outs {
		lo, hi := quant.WeightRange(map[kernels.WeightType]int{kernels.Int4: 4, kernels.Int8: 8}[types[i]])
		w := make([]int8, out*in)
		for j := range w {
			w[j] = int8(int(lo) + r.IntN(int(hi)-int(lo)+1))
		}
		scale := make([]float32, out)
		for j := range scale {
			scale[j] = r.Float32() - 0.5
		}
		l.w, l.wScale = append(l.w, w), append(l.wScale, scale)
	}
	return l
}

func (l *intLayer) outs() (n int) {
	for _, s := range l.wScale {
		n += len(s)
	}
	return n
}

// want returns out [tokens, outs], plus base. Products of float32s are exact in float64.
func (l *intLayer) want(base float32, add bool) []float32 {
	var out []float32
	for t := range l.tokens {
		for p, w := range l.w {
			for r, scale := range l.wScale[p] {
				var sum int64
				for i := range l.in {
					sum += int64(w[r*l.in+i]) * int64(l.x[t*l.in+i])
				}
				s := float32(float64(scale) * float64(l.xScale[t]))
				y := float32(float64(float32(sum)) * float64(s))
				if add {
					y = float32(float64(base) + float64(y))
				}
				out = append(out, y)
			}
		}
	}
	return out
}

// rows and weights place the layer in host memory that ends at guard pages.
func (l *intLayer) rows(t testing.TB, bits int) kernels.Rows {
	stride := quant.Align(l.in)
	r := kernels.Rows{Bits: bits, N: l.tokens, Cols: l.in, Stride: stride}
	q, sum := guardedOf[int8](t, l.tokens*stride), guardedOf[int32](t, l.tokens)
	for i := range l.tokens {
		copy(q[i*stride:], l.x[i*l.in:][:l.in])
		for _, v := range l.x[i*l.in:][:l.in] {
			sum[i] += int32(v)
		}
	}
	scale := guardedOf[float32](t, l.tokens)
	copy(scale, l.xScale)
	r.Q, r.Sum, r.Scale = bufOf(q), bufOf(sum), bufOf(scale)
	return r
}

func (l *intLayer) weights(t testing.TB) (ws []kernels.Weight) {
	for p, w := range l.w {
		typ, out := l.types[p], len(l.wScale[p])
		rb := typ.RowBytes(l.in)
		data := guardedOf[uint8](t, out*rb)
		for r := range out {
			packWeights(data[r*rb:][:rb], w[r*l.in:][:l.in], typ)
		}
		scale := guardedOf[float32](t, out)
		copy(scale, l.wScale[p])
		ws = append(ws, kernels.Weight{Type: typ, Data: bufOf(data), Scale: bufOf(scale), Out: out, In: l.in})
	}
	return ws
}

func packWeights(dst []uint8, w []int8, typ kernels.WeightType) {
	if typ == kernels.Int4 {
		quant.PackInt4(dst, w)
		return
	}
	for i, v := range w {
		dst[i] = uint8(v)
	}
}

// bufOf returns s as device memory.
func bufOf[T kernels.Elem](s []T) kernels.Buf[T] {
	b := make([]byte, 0)
	if len(s) > 0 {
		b = asBytes(s)
	}
	return kernels.Buf[T]{Mem: host(b), N: len(s)}
}

// floatsWith returns a [rows, cols] matrix of v whose rows are stride apart.
func floatsWith(t testing.TB, rows, cols, stride int, v float32) (kernels.Floats, []float32) {
	s := guardedOf[float32](t, rows*stride)
	for i := range s {
		s[i] = v
	}
	return kernels.Floats{Buf: bufOf(s), Rows: rows, Cols: cols, Stride: stride}, s
}

// eachWorkers runs f on every instruction set with 1 and 3 workers.
func eachWorkers(t *testing.T, f func(t *testing.T, d *Device)) {
	eachISA(t, func(t *testing.T, k *isa) {
		for _, workers := range []int{1, 3} {
			t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
				d, err := New(workers, k.name)
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				f(t, d)
			})
		}
	})
}

// compare holds out, whose elements between rows must still be pad, to want.
func compare(t *testing.T, out []float32, rows, cols, stride int, pad float32, want []float32) {
	t.Helper()
	for i, got := range out {
		r, c := i/stride, i%stride
		w := pad
		if c < cols {
			w = want[r*cols+c]
		}
		if math.Float32bits(got) != math.Float32bits(w) {
			t.Fatalf("out[%d, %d] = %v, want %v", r, c, got, w)
		}
	}
}

func TestLinear(t *testing.T) {
	i4, i8 := kernels.Int4, kernels.Int8
	type shape struct {
		tokens, in, xMax int
		types            []kernels.WeightType
		outs             []int
	}
	shapes := []shape{
		{1, 5, 127, []kernels.WeightType{i4}, []int{1}},
		{1, 2048, 127, []kernels.WeightType{i4, i4, i4}, []int{300, 40, 40}}, // decode, several chunks
		{2, 100, 7, []kernels.WeightType{i4, i8}, []int{17, 3}},              // both types, Bits 4
		{3, 704, 31, []kernels.WeightType{i8}, []int{33}},
		{130, 128, 127, []kernels.WeightType{i4}, []int{70}},      // two spans of tokens
		{259, 64, 127, []kernels.WeightType{i8, i4}, []int{5, 2}}, // three, and fewer rows than a tile's
		{7, 5632, 127, []kernels.WeightType{i8}, []int{37}},       // rows in several groups
		{7, 11008, 127, []kernels.WeightType{i4}, []int{37}},
	}
	for _, tokens := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 31, 32, 33, 63, 64, 65, 66} {
		shapes = append(shapes, shape{tokens, 64 * (1 + tokens%5), 127, []kernels.WeightType{i4, i8}, []int{tokens, 21}})
	}
	if testing.Short() {
		shapes = slices.DeleteFunc(shapes, func(s shape) bool { return s.tokens*s.in > 20000 })
	}
	eachWorkers(t, func(t *testing.T, d *Device) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, s := range shapes {
			t.Run(fmt.Sprintf("x=%dx%d/w=%v%v", s.tokens, s.in, s.types, s.outs), func(t *testing.T) {
				l := newIntLayer(r, s.tokens, s.in, s.xMax, s.types, s.outs)
				bits := map[int]int{127: 8, 31: 6, 7: 4}[s.xMax]
				cols := l.outs()
				out, got := floatsWith(t, s.tokens, cols, cols+3, -7)
				d.Linear(out, l.rows(t, bits), l.weights(t)...)
				compare(t, got, s.tokens, cols, cols+3, -7, l.want(0, false))
				if len(s.types) == 1 {
					out, got := floatsWith(t, s.tokens, cols, cols+3, 0.3)
					d.LinearAdd(out, l.rows(t, bits), l.weights(t)[0])
					compare(t, got, s.tokens, cols, cols+3, 0.3, l.want(0.3, true))
				}
				if err := d.Sync(); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

// The chunks of a layer are within its rows and tokens, and none is empty.
func TestLinearCut(t *testing.T) {
	for _, workers := range []int{1, 2, 64} {
		for tokens := 1; tokens < 20000; tokens += 1 + tokens/7 {
			task := linearTask{x: kernels.Rows{N: tokens}}
			want := 0
			for _, out := range []int{2048, 256, 1, 32000} {
				w := kernels.Weight{Type: kernels.Int4, Out: out, In: 4096}
				task.parts = append(task.parts, linearPart{Weight: w, column: want})
				want += out
			}
			chunks, bands := task.cut(workers), 0
			for _, p := range task.parts {
				bands += p.bands
				if p.band > chunkRows || (p.bands-1)*p.band >= p.Out || p.bands*p.band < p.Out {
					t.Fatalf("%d workers: %d bands of %d rows for %d", workers, p.bands, p.band, p.Out)
				}
			}
			if task.span > chunkTokens || (task.spans-1)*task.span >= tokens || task.spans*task.span < tokens {
				t.Fatalf("%d spans of %d tokens for %d", task.spans, task.span, tokens)
			}
			if chunks != bands*task.spans {
				t.Fatalf("%d chunks for %d bands and %d spans", chunks, bands, task.spans)
			}
		}
	}
}

// Float rows take every kind of weight; the product is fp.Dot.
func TestLinearFloatRows(t *testing.T) {
	const in, out0, out1 = 128, 37, 5
	eachWorkers(t, func(t *testing.T, d *Device) {
		for _, tokens := range []int{1, 7, 140} {
			r := rand.New(rand.NewPCG(3, 4))
			l := newIntLayer(r, tokens, in, 127, []kernels.WeightType{kernels.Int8}, []int{out1})
			x := guardedOf[float32](t, tokens*in)
			w0 := guardedOf[float32](t, out0*in)
			for _, s := range [][]float32{x, w0} {
				for i := range s {
					s[i] = r.Float32() - 0.5
				}
			}
			rows := kernels.Rows{Bits: 16, N: tokens, Cols: in, Stride: in}
			rows.F = kernels.Floats{Buf: bufOf(x), Rows: tokens, Cols: in, Stride: in}
			float := kernels.Weight{Type: kernels.Float32, Data: bufOf(asBytes(w0)), Out: out0, In: in}
			out, got := floatsWith(t, tokens, out0+out1, out0+out1, 1)
			d.Linear(out, rows, float, l.weights(t)[0])

			var want []float32
			wide := make([]float32, in)
			for i := range tokens {
				xi := x[i*in:][:in]
				for o := range out0 {
					want = append(want, fp.Dot(w0[o*in:][:in], xi))
				}
				for o := range out1 {
					for j, v := range l.w[0][o*in:][:in] {
						wide[j] = float32(v)
					}
					want = append(want, float32(fp.Dot(wide, xi)*l.wScale[0][o]))
				}
			}
			compare(t, got, tokens, out0+out1, out0+out1, 0, want)
		}
	})
}

// A weight whose file was truncated is an error from Sync, not a crash.
func TestLinearFault(t *testing.T) {
	d, err := New(2, "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l := newIntLayer(rand.New(rand.NewPCG(1, 1)), 1, 4096, 127, []kernels.WeightType{kernels.Int8}, []int{4})
	x, w := l.rows(t, 8), l.weights(t)[0]
	beyond := guardedOf[uint8](t, 1)
	w.Data = bufOf(pastEnd(beyond, 4*4096))
	out, _ := floatsWith(t, 1, 4, 4, 0)
	d.Linear(out, x, w)
	if err := d.Sync(); err == nil || !strings.Contains(err.Error(), ErrFault.Error()) {
		t.Errorf("Sync after a fault: %v, want %v", err, ErrFault)
	}
}

func TestLinearAllocatesNothing(t *testing.T) {
	eachWorkers(t, func(t *testing.T, d *Device) {
		l := newIntLayer(rand.New(rand.NewPCG(1, 1)), 5, 256, 127,
			[]kernels.WeightType{kernels.Int4, kernels.Int4, kernels.Int8}, []int{300, 40, 40})
		x, w := l.rows(t, 8), l.weights(t)
		out, _ := floatsWith(t, 5, 380, 380, 0)
		first, _ := floatsWith(t, 5, 300, 300, 0)
		if n := testing.AllocsPerRun(50, func() {
			d.Linear(out, x, w[0], w[1], w[2])
			d.LinearAdd(first, x, w[0])
		}); n != 0 {
			t.Errorf("%v allocations, want 0", n)
		}
	})
}

// BenchmarkLinear runs the layers of a 1.1B model, and a 7B model's deepest. Decode walks
// through copies of the weight that together exceed the caches, as a whole model does.
func BenchmarkLinear(b *testing.B) {
	type layer struct {
		name    string
		typ     kernels.WeightType
		in, out int
	}
	layers := []layer{
		{"gate_up", kernels.Int4, 2048, 2 * 5632},
		{"down", kernels.Int4, 5632, 2048},
		{"gate_up", kernels.Int8, 2048, 2 * 5632},
		{"down", kernels.Int8, 5632, 2048},
		{"down_7b", kernels.Int4, 11008, 4096},
		{"down_7b", kernels.Int8, 11008, 4096},
		{"lm_head", kernels.Int8, 2048, 32000},
	}
	r := rand.New(rand.NewPCG(1, 1))
	for _, k := range available[1:] {
		for _, l := range layers {
			for _, tokens := range []int{1, 4, 8, 16, 512} {
				if l.name == "lm_head" && tokens > 8 {
					continue
				}
				b.Run(fmt.Sprintf("isa=%s/layer=%s/w=%v/tokens=%d", k.name, l.name, l.typ, tokens), func(b *testing.B) {
					d, err := New(runtime.GOMAXPROCS(0), k.name)
					if err != nil {
						b.Fatal(err)
					}
					defer d.Close()
					x, _ := kernels.NewRows(d, tokens, l.in, 8)
					for i, q := 0, view(x.Q); i < len(q); i++ {
						q[i] = int8(r.IntN(255) - 127)
					}
					out, _ := kernels.NewFloats(d, tokens, l.out)
					size := l.out * l.typ.RowBytes(l.in)
					copies := max(1, 128<<20/size)
					data, _ := kernels.Alloc[uint8](d, copies*size)
					for i, v := 0, view(data); i < len(v); i++ {
						v[i] = uint8(i * 7)
					}
					scale, _ := kernels.Alloc[float32](d, l.out)
					w := make([]kernels.Weight, copies)
					for i := range w {
						w[i] = kernels.Weight{Type: l.typ, Data: data.Slice(i*size, (i+1)*size), Scale: scale, Out: l.out, In: l.in}
					}
					b.SetBytes(int64(size))
					n := 0
					for b.Loop() {
						d.Linear(out, x, w[n%copies])
						n++
					}
					b.ReportMetric(float64(n)*float64(tokens)*float64(l.in)*float64(l.out)/b.Elapsed().Seconds()/1e9, "GMAC/s")
				})
			}
		}
	}
}
