package cpu

import (
	"encoding/binary"
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
			k.floatKernels.widen[typ](dst, stride, src, n)
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

// A stream adds the lanes of any multiple of streamRows rows to their part of a
// panel's total, and touches no other.
func TestFloatStream(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		for _, typ := range allTypes {
			for i, stream := range k.stream[typ] {
				tokens := max(1, 2*i)
				if stream == nil {
					continue
				}
				for rows := streamRows; rows <= k.panelRows; rows += streamRows {
					for _, n := range []int{64, 128, 192, 256} {
						rng := rand.New(rand.NewPCG(uint64(rows), uint64(n)))
						rowBytes := typ.RowBytes(n) + 64*rng.IntN(3)
						w := guardedOf[uint8](t, (rows-1)*rowBytes+typ.RowBytes(n))
						fillWeights(rng, typ, "normal", w)
						x := guardedOf[float32](t, (tokens-1)*fp.Block+n)
						total := guardedOf[float32](t, tokens*k.panelRows*fp.Lanes)
						for _, s := range [][]float32{x, total} {
							for i := range s {
								s[i] = float32(rng.NormFloat64())
							}
						}
						want := make([]float32, len(total))
						for i, old := range total {
							tok, r, l := i/fp.Lanes/k.panelRows, i/fp.Lanes%k.panelRows, i%fp.Lanes
							want[i] = old
							if r >= rows {
								continue
							}
							var acc float32
							for j := l; j < n; j += fp.Lanes {
								acc = fp.FMA(weightAt[typ](w[r*rowBytes:], j), x[tok*fp.Block+j], acc)
							}
							want[i] += acc
						}
						stream(total, w, rowBytes, x, n, rows, &w[len(w)-1])
						for i := range want {
							if !sameFloat(total[i], want[i]) {
								t.Fatalf("%v: %d tokens, %d rows, n=%d: lane %d is %x, want %x", typ, tokens, rows, n, i, total[i], want[i])
							}
						}
					}
				}
			}
		}
	})
}

func TestFloatSums(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		for rows := 1; rows <= k.panelRows; rows++ {
			for tokens := 1; tokens <= 3; tokens++ {
				for mode := range 4 {
					rng := rand.New(rand.NewPCG(uint64(rows), uint64(tokens)))
					stride := rows + rng.IntN(3)
					total := guardedOf[float32](t, tokens*k.panelRows*fp.Lanes)
					out := guardedOf[float32](t, (tokens-1)*stride+rows)
					scale := guardedOf[float32](t, rows)
					for _, s := range [][]float32{total, out, scale} {
						for i := range s {
							s[i] = float32(rng.NormFloat64())
						}
					}
					if mode&1 == 0 {
						scale = nil
					}
					add := mode&2 != 0
					want := append([]float32(nil), out...)
					for i := range want {
						tok, r := i/stride, i%stride
						if r >= rows {
							continue
						}
						y := fp.Sum8((*[fp.Lanes]float32)(total[(tok*k.panelRows+r)*fp.Lanes:]))
						if scale != nil {
							y = float32(y * scale[r])
						}
						if add {
							y = want[i] + y
						}
						want[i] = y
					}
					k.sums(out, stride, total, tokens, rows, scale, add)
					for i := range want {
						if !sameFloat(out[i], want[i]) {
							t.Fatalf("%d rows, %d tokens, scale=%v, add=%v: out[%d] = %x, want %x", rows, tokens, scale != nil, add, i, out[i], want[i])
						}
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
		k.floatKernels.widen[kernels.Float16](dst, fp.Lanes, src, 1<<16)
		for i, got := range dst {
			if want := quant.Float16To32(uint16(i)); math.Float32bits(got) != math.Float32bits(want) {
				t.Fatalf("%#04x is %#08x, want %#08x", i, math.Float32bits(got), math.Float32bits(want))
			}
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
