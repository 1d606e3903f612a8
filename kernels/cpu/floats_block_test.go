package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

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

// dots returns the definition of output r of every token.
func (c linearCase) dots(r int) (y []float32) {
	w := c.weights(r)
	for t := range c.tokens {
		y = append(y, fp.Dot(w, c.x[t*c.row:][:c.row]))
		if c.scale != nil {
			y[t] = float32(y[t] * c.scale[r])
		}
	}
	return y
}

func TestFloatBlock(t *testing.T) {
	type shape struct {
		kind            string
		out, in, tokens int
	}
	shapes := []shape{
		{"normal", 1, 1, 1}, {"normal", 5, 100, 1}, {"normal", 7, 1100, 2}, {"normal", 3, 64, 3},
		{"wide", 6, 65, 4}, {"normal", 33, 192, 5}, {"zero", 9, 300, 6}, {"denormal", 10, 320, 7},
		{"any", 11, 1088, 8}, {"wide", 17, 2100, 9}, {"normal", 35, 256, 10}, {"normal", 2, 512, 13},
		{"normal", 4, 4200, 17}, {"normal", 67, 128, 66}, {"normal", 5, 1344, 131},
		{"normal", 35, 64, 65}, {"normal", 3, 64, 129},
	}
	for tokens := 1; tokens <= 67; tokens++ {
		if tokens <= 20 || tokens >= 63 {
			shapes = append(shapes, shape{"normal", 1 + tokens*7%39, 64 * (1 + tokens%6), tokens})
		}
	}
	devices, scratch := make([]*Device, len(available)), make([]floatScratch, len(available))
	for i, k := range available {
		devices[i] = must(New(2, k.name))
		defer devices[i].Close()
	}
	for _, typ := range allTypes {
		for _, c := range shapes {
			l := newLinearCase(t, typ, c.kind, c.out, c.in, c.tokens)
			row0, row1 := c.out/5, c.out
			dots := make([]float32, c.tokens*c.out)
			for r := row0; r < row1; r++ {
				for tok, y := range l.dots(r) {
					dots[tok*c.out+r] = y
				}
			}
			stride := row1 - row0 + 3
			out := guardedOf[float32](t, (c.tokens-1)*stride+row1-row0)
			for i, d := range devices {
				s := &scratch[i]
				for _, add := range []bool{false, true} {
					for i := range out {
						out[i] = float32(i)
					}
					d.floatBlock(s, out, stride, l.x, l.row, c.tokens, l.w, l.data, l.scale, row0, row1, add)
					for i, got := range out {
						tok, r := i/stride, row0+i%stride
						want := float32(i)
						if r < row1 {
							want = dots[tok*c.out+r]
							if add {
								want = float32(i) + want
							}
						}
						if !sameFloat(got, want) {
							t.Fatalf("%s, %v %+v add=%v: out[%d, %d] = %x, want %x", d.Name(), typ, c, add, tok, r, got, want)
						}
					}
				}
			}
		}
	}
}

// The definition itself against float64. fp.Dot's sum passes each product through
// at most 32 FMAs, one addition a block and 3 in Sum8, each off by ε/2 = 2⁻²⁴ of
// what it has (Higham, §3.1): |error| ≤ (35 + blocks)·2⁻²⁴·Σ|w·x|, first order.
func TestFloatBlockAccuracy(t *testing.T) {
	const out, in, tokens = 9, 1999, 4
	eachISA(t, func(t *testing.T, k *isa) {
		d := must(New(2, k.name))
		defer d.Close()
		for _, typ := range allTypes {
			l := newLinearCase(t, typ, "normal", out, in, tokens)
			y := make([]float32, tokens*out)
			d.floatBlock(new(floatScratch), y, out, l.x, l.row, tokens, l.w, l.data, l.scale, 0, out, false)
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
		d := must(New(2, k.name))
		defer d.Close()
		l := newLinearCase(t, kernels.Float16, "normal", 8, 64, 8)
		out, s := make([]float32, 64), new(floatScratch)
		if n := testing.AllocsPerRun(100, func() {
			d.floatBlock(s, out, 8, l.x, l.row, 1, l.w, l.data, nil, 0, 8, false)
			d.floatBlock(s, out, 8, l.x, l.row, 8, l.w, l.data, nil, 0, 8, false)
		}); n != 0 {
			t.Errorf("%v allocations a call, want 0", n)
		}
	})
}
