package cpu

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

var allTypes = []kernels.WeightType{kernels.Int4, kernels.Int8, kernels.Float16, kernels.BFloat16, kernels.Float32}

// values are the kinds of numbers that tests fill weights and activations with.
var values = map[string]func(rng *rand.Rand) float32{
	"normal": func(rng *rand.Rand) float32 { return float32(rng.NormFloat64()) },
	"wide":   func(rng *rand.Rand) float32 { return float32(math.Ldexp(rng.NormFloat64(), rng.IntN(60)-30)) },
	"denormal": func(rng *rand.Rand) float32 {
		return math.Float32frombits(rng.Uint32()&0x807fffff>>rng.IntN(23) | rng.Uint32()&1<<31)
	},
	"zero": func(rng *rand.Rand) float32 { return math.Float32frombits(rng.Uint32() & (1 << 31)) },
	"any":  func(rng *rand.Rand) float32 { return math.Float32frombits(rng.Uint32()) },
}

// fillWeights sets data to stored weights of the kind.
func fillWeights(rng *rand.Rand, t kernels.WeightType, kind string, data []byte) {
	v := values[kind]
	switch t {
	case kernels.Float32:
		for i := 0; i < len(data); i += 4 {
			binary.LittleEndian.PutUint32(data[i:], math.Float32bits(v(rng)))
		}
	case kernels.Float16, kernels.BFloat16:
		half := quant.Float16
		if t == kernels.BFloat16 {
			half = quant.BFloat16
		}
		for i := 0; i < len(data); i += 2 {
			h := half(v(rng))
			if kind == "denormal" {
				h = uint16(rng.IntN(1<<7)) | uint16(rng.IntN(2))<<15
			}
			binary.LittleEndian.PutUint16(data[i:], h)
		}
	default:
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
	}
}

// sameFloat reports whether a and b are the same bits, or both no number.
func sameFloat(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// rowOf returns n weights of a stored row as float32.
func rowOf(t kernels.WeightType, row []byte, n int) []float32 {
	w := make([]float32, n)
	for i := range w {
		w[i] = weightAt[t](row, i)
	}
	return w
}

func TestFloatDot(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		for _, typ := range allTypes {
			for kind, value := range values {
				for _, n := range []int{64, 128, 192, 256, 320, 512, 576, 1024, 1088, 1280, 2048, 2368} {
					rng := rand.New(rand.NewPCG(1, uint64(n)))
					w := guardedOf[uint8](t, typ.RowBytes(n))
					x := guardedOf[float32](t, n)
					fillWeights(rng, typ, kind, w)
					for i := range x {
						x[i] = value(rng)
					}
					if got, want := k.floatKernels.dot[typ](w, x), fp.Dot(rowOf(typ, w, n), x); !sameFloat(got, want) {
						t.Errorf("%v, %s, n=%d: %x, want %x", typ, kind, n, got, want)
					}
				}
			}
		}
	})
}

func TestFloatWiden(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		for _, typ := range allTypes {
			const n, stride = 320, 24
			rng := rand.New(rand.NewPCG(2, 0))
			src := guardedOf[uint8](t, typ.RowBytes(n))
			fillWeights(rng, typ, "any", src)
			dst := guardedOf[float32](t, (n/8-1)*stride+8)
			for i := range dst {
				dst[i] = 42
			}
			k.floatKernels.widen[typ](dst, stride, src, n, 1<<20)
			want := rowOf(typ, src, n)
			for i, got := range dst {
				v := float32(42)
				if i%stride < 8 {
					v = want[i/stride*8+i%stride]
				}
				if !sameFloat(got, v) {
					t.Fatalf("%v: element %d is %x, want %x", typ, i, got, v)
				}
			}
		}
	})
}

func TestFloatTile(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		rows := k.panelRows
		for tokens, tile := range map[int]func(total, panel, x *float32, stride, n int){2: k.tile2, 3: k.tile3} {
			for _, n := range []int{64, 192, 256, 320, 1024, 1216} {
				rng := rand.New(rand.NewPCG(3, uint64(n)))
				stride := n + 8*rng.IntN(3)
				total := guardedOf[float32](t, tokens*rows*fp.Lanes)
				panel := guardedOf[float32](t, n*rows)
				x := guardedOf[float32](t, (tokens-1)*stride+n)
				for _, s := range [][]float32{total, panel, x} {
					for i := range s {
						s[i] = float32(rng.NormFloat64())
					}
				}
				want := make([]float32, len(total))
				for i := range want {
					tok, r, l := i/fp.Lanes/rows, i/fp.Lanes%rows, i%fp.Lanes
					want[i] = total[i]
					for b := 0; b < n; b += fp.Block {
						var acc float32
						for j := b + l; j < min(b+fp.Block, n); j += fp.Lanes {
							acc = fp.FMA(panel[(j/fp.Lanes*rows+r)*fp.Lanes+l], x[tok*stride+j], acc)
						}
						want[i] += acc
					}
				}
				tile(&total[0], &panel[0], &x[0], stride, n)
				for i := range want {
					if !sameFloat(total[i], want[i]) {
						t.Fatalf("%d tokens, n=%d: lane %d is %x, want %x", tokens, n, i, total[i], want[i])
					}
				}
			}
		}
	})
}

// All halves, NaNs included, are what F16C and FCVTL make of them.
func TestFloat16Widens(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		src, dst := guardedOf[uint8](t, 1<<17), guardedOf[float32](t, 1<<16)
		for i := range 1 << 16 {
			binary.LittleEndian.PutUint16(src[2*i:], uint16(i))
		}
		k.floatKernels.widen[kernels.Float16](dst, fp.Lanes, src, 1<<16, 0)
		for i, got := range dst {
			if want := quant.Float16To32(uint16(i)); math.Float32bits(got) != math.Float32bits(want) {
				t.Fatalf("%#04x is %#08x, want %#08x", i, math.Float32bits(got), math.Float32bits(want))
			}
		}
	})
}

// linearCase is a linear layer in host memory, everything before a guard page.
type linearCase struct {
	w           kernels.Weight
	data        []uint8
	scale, x    []float32
	tokens, row int // row: elements of a padded row
}

func newLinearCase(t testing.TB, typ kernels.WeightType, kind string, out, in, tokens int) linearCase {
	rng := rand.New(rand.NewPCG(uint64(out), uint64(in*tokens)))
	c := linearCase{w: kernels.Weight{Type: typ, Out: out, In: in}, tokens: tokens, row: quant.Align(in)}
	c.data = guardedOf[uint8](t, out*typ.RowBytes(in))
	fillWeights(rng, typ, kind, c.data)
	c.x = guardedOf[float32](t, tokens*c.row)
	for i := range c.x {
		if i%c.row < in {
			c.x[i] = values[kind](rng)
		}
	}
	if typ.Quantized() {
		c.scale = guardedOf[float32](t, out)
		for i := range c.scale {
			c.scale[i] = rng.Float32()
		}
	}
	return c
}

// weights returns row r as float32.
func (c linearCase) weights(r int) []float32 {
	n := c.w.Type.RowBytes(c.w.In)
	return rowOf(c.w.Type, c.data[r*n:][:n], c.row)
}

// dot returns the definition of one output.
func (c linearCase) dot(r, t int) float32 {
	y := fp.Dot(c.weights(r), c.x[t*c.row:][:c.row])
	if c.scale != nil {
		y = float32(y * c.scale[r])
	}
	return y
}

func TestFloatBlock(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		d := &Device{isa: k}
		for _, typ := range allTypes {
			for _, c := range []struct {
				kind            string
				out, in, tokens int
			}{
				{"normal", 1, 1, 1}, {"normal", 5, 100, 1}, {"normal", 7, 1100, 2}, {"normal", 3, 64, 3},
				{"wide", 6, 65, 4}, {"normal", 33, 192, 5}, {"zero", 9, 300, 6}, {"denormal", 10, 320, 7},
				{"any", 11, 1088, 8}, {"wide", 17, 2100, 9}, {"normal", 35, 256, 10}, {"normal", 2, 512, 13},
				{"normal", 4, 4200, 17}, {"normal", 67, 128, 66}, {"normal", 5, 1344, 131},
				{"normal", 35, 64, 65}, {"normal", 3, 64, 129},
			} {
				l := newLinearCase(t, typ, c.kind, c.out, c.in, c.tokens)
				for _, add := range []bool{false, true} {
					row0, row1 := c.out/5, c.out
					stride := row1 - row0 + 3
					out := guardedOf[float32](t, (c.tokens-1)*stride+row1-row0)
					for i := range out {
						out[i] = float32(i)
					}
					d.floatBlock(out, stride, l.x, l.row, c.tokens, l.w, l.data, l.scale, row0, row1, add)
					for i, got := range out {
						tok, r := i/stride, row0+i%stride
						want := float32(i)
						if r < row1 {
							want = l.dot(r, tok)
							if add {
								want = float32(i) + want
							}
						}
						if !sameFloat(got, want) {
							t.Fatalf("%v %+v add=%v: out[%d, %d] = %x, want %x", typ, c, add, tok, r, got, want)
						}
					}
				}
			}
		}
	})
}

// The definition itself against float64. fp.Dot's sum passes each product through
// at most 32 FMAs, one addition a block and 3 in Sum8, each off by ε/2 = 2⁻²⁴ of
// what it has (Higham, §3.1): |error| ≤ (35 + blocks)·2⁻²⁴·Σ|w·x|, first order.
func TestFloatBlockAccuracy(t *testing.T) {
	const out, in, tokens = 9, 1999, 4
	eachISA(t, func(t *testing.T, k *isa) {
		d := &Device{isa: k}
		for _, typ := range allTypes {
			l := newLinearCase(t, typ, "normal", out, in, tokens)
			y := make([]float32, tokens*out)
			d.floatBlock(y, out, l.x, l.row, tokens, l.w, l.data, l.scale, 0, out, false)
			for r := range out {
				w := l.weights(r)
				for tok := range tokens {
					var sum, abs float64
					for i, v := range l.x[tok*l.row:][:l.row] {
						p := float64(w[i]) * float64(v)
						sum, abs = sum+p, abs+math.Abs(p)
					}
					steps := 35 + float64(l.row+fp.Block-1)/fp.Block
					if l.scale != nil { // one more rounding
						sum, abs, steps = sum*float64(l.scale[r]), abs*float64(l.scale[r]), steps+1
					}
					if diff := math.Abs(float64(y[tok*out+r]) - sum); !(diff <= 1.01*steps*abs/(1<<24)) {
						t.Errorf("%v: out[%d, %d] = %v, want %v", typ, tok, r, y[tok*out+r], sum)
					}
				}
			}
		}
	})
}

func TestFloatBlockAllocates(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		d := &Device{isa: k}
		l := newLinearCase(t, kernels.Float16, "normal", 8, 64, 8)
		out := make([]float32, 64)
		if n := testing.AllocsPerRun(100, func() {
			d.floatBlock(out, 8, l.x, l.row, 1, l.w, l.data, nil, 0, 8, false)
			d.floatBlock(out, 8, l.x, l.row, 8, l.w, l.data, nil, 0, 8, false)
		}); n != 0 {
			t.Errorf("%v allocations a call, want 0", n)
		}
	})
}

// FuzzFloatDot compares every isa with fp.Dot on arbitrary bytes.
func FuzzFloatDot(f *testing.F) {
	f.Add(uint8(0), uint64(1), []byte{1, 2, 3, 4})
	f.Add(uint8(2), uint64(2), []byte{0xff, 0x7b, 0, 4, 1, 0})
	f.Fuzz(func(t *testing.T, typ8 uint8, seed uint64, data []byte) {
		typ := kernels.WeightType(typ8 % uint8(weightTypes))
		rng := rand.New(rand.NewPCG(seed, 0))
		n := 64 * (1 + rng.IntN(24))
		w := guardedOf[uint8](t, typ.RowBytes(n))
		x := guardedOf[float32](t, n)
		for i := range w {
			if len(data) > 0 {
				w[i] = data[i%len(data)] ^ byte(rng.Uint32()&rng.Uint32()&rng.Uint32())
			}
		}
		for i := range x {
			x[i] = math.Float32frombits(rng.Uint32())
		}
		want := fp.Dot(rowOf(typ, w, n), x)
		for _, k := range available {
			if got := k.floatKernels.dot[typ](w, x); !sameFloat(got, want) {
				t.Errorf("%s, %v, n=%d: %x, want %x", k.name, typ, n, got, want)
			}
		}
	})
}

// BenchmarkFloatBlock runs one worker's part of a linear layer; for its share of
// all workers' memory bandwidth use workers=2.
func BenchmarkFloatBlock(b *testing.B) {
	const out, in = 4096, 4096
	for _, k := range available[1:] {
		for _, typ := range allTypes {
			for _, tokens := range []int{1, 2, 3, 4, 8, 16, 64, 256} {
				for _, workers := range []int{1, 2} {
					b.Run(fmt.Sprintf("isa=%s/w=%v/tokens=%d/workers=%d", k.name, typ, tokens, workers), func(b *testing.B) {
						benchFloatBlock(b, &k, typ, out, in, tokens, workers)
					})
				}
			}
		}
	}
}

// benchTask cuts a linear layer in chunks of rows, over several weights in turn
// that no cache holds together.
type benchTask struct {
	d      *Device
	out, x []float32
	tokens int
	w      kernels.Weight
	data   []byte
	scale  []float32
}

const benchRows = 64

func (t *benchTask) run(worker, chunk int) {
	r := chunk * benchRows
	t.d.floatBlock(t.out[r:], t.w.Out, t.x, t.w.In, t.tokens, t.w, t.data, t.scale, r, r+benchRows, false)
}

func benchFloatBlock(b *testing.B, k *isa, typ kernels.WeightType, out, in, tokens, workers int) {
	d := &Device{isa: k, pool: newPool(workers)}
	defer d.Close()
	rng := rand.New(rand.NewPCG(1, 1))
	bytes := out * typ.RowBytes(in)
	all := make([]byte, 256<<20/bytes*bytes)
	chunk := all[:1<<16]
	fillWeights(rng, typ, "normal", chunk)
	for i := len(chunk); i < len(all); i += len(chunk) {
		copy(all[i:], chunk)
	}
	t := &benchTask{d: d, out: make([]float32, out*tokens), x: make([]float32, in*tokens), tokens: tokens,
		w: kernels.Weight{Type: typ, Out: out, In: in}}
	for i := range t.x {
		t.x[i] = float32(rng.NormFloat64())
	}
	if typ.Quantized() {
		t.scale = make([]float32, out)
	}
	b.SetBytes(int64(bytes))
	for i := 0; b.Loop(); i++ {
		t.data = all[i*bytes%len(all):][:bytes]
		if err := d.pool.run(out/benchRows, t); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(out*in*tokens)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
}
