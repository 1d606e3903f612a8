package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/llmqat/llmqat/kernels"
)

// pastEnd returns the n bytes behind those of b.
func pastEnd(b []uint8, n int) []uint8 {
	return unsafe.Slice((*uint8)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), len(b))), n)
}

// eachTile runs f on every tile of k's kernel for a type of weights: n tokens,
// step rows at a time.
func eachTile(k *isa, typ kernels.WeightType, f func(name string, tile tileFunc, offset int32, n, step int)) {
	kernel := &k.w4
	if typ == kernels.Int8 {
		kernel = &k.w8
	}
	for i, tile := range kernel.tiles {
		f(fmt.Sprintf("tile %d", i+1), tile, kernel.offset, i+1, 1)
	}
	if kernel.block != nil {
		f("block", kernel.block, kernel.offset, blockTokens, blockRows)
	}
}

// checkTile compares a tile with the plain sum over the unpacked integers.
func checkTile(t testing.TB, tile tileFunc, offset int32, typ kernels.WeightType, k, rows, tokens int, w, x func() int8) error {
	stride, rb := rows+2, typ.RowBytes(k)
	packed, xs := guardedOf[uint8](t, rows*rb), guardedOf[int8](t, tokens*k)
	plain := make([]int8, rows*k)
	for i := range plain {
		plain[i] = w()
	}
	for i := range xs {
		xs[i] = x()
	}
	for r := range rows {
		packWeights(packed[r*rb:][:rb], plain[r*k:][:k], typ)
	}
	sum := guardedOf[int32](t, (tokens-1)*stride+rows)
	const untouched = 123456789
	for i := range sum {
		sum[i] = untouched
	}
	tile(sum, packed, xs, k, rows, stride)
	for i, got := range sum {
		token, r := i/stride, i%stride
		if r >= rows {
			if got != untouched {
				return fmt.Errorf("sum between tokens %d and %d was written", token, token+1)
			}
			continue
		}
		var want int64
		for j := range k {
			want += (int64(plain[r*k+j]) + int64(offset)) * int64(xs[token*k+j])
		}
		if int64(got) != want {
			return fmt.Errorf("row %d, token %d: got %d, want %d", r, token, got, want)
		}
	}
	return nil
}

func TestDots(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	fill := func(v int8) func() int8 { return func() int8 { return v } }
	between := func(lo, hi int) func() int8 { return func() int8 { return int8(lo + r.IntN(hi-lo+1)) } }
	for typ, lo := range map[kernels.WeightType]int{kernels.Int4: -8, kernels.Int8: -128} {
		values := []struct {
			name string
			w, x func() int8
		}{
			{"zero", fill(0), fill(0)},
			{"largest", fill(int8(-lo - 1)), fill(127)},
			{"largest times smallest", fill(int8(-lo - 1)), fill(-127)},
			{"smallest", fill(int8(lo)), fill(-127)},
			{"smallest times largest", fill(int8(lo)), fill(127)},
			{"random", between(lo, -lo-1), between(-127, 127)},
		}
		eachISA(t, func(t *testing.T, k *isa) {
			eachTile(k, typ, func(name string, tile tileFunc, offset int32, n, step int) {
				for _, v := range values {
					for _, depth := range []int{64, 128, 192, 256, 320, 576, 2048, 4160} {
						for _, rows := range []int{1, 2, 3} {
							if err := checkTile(t, tile, offset, typ, depth, rows*step, n, v.w, v.x); err != nil {
								t.Fatalf("%v %s, %s, k=%d, %d rows: %v", typ, name, v.name, depth, rows*step, err)
							}
						}
					}
				}
			})
		})
	}
}

func FuzzDots(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(2), true)
	f.Add(uint64(2), uint8(8), uint8(1), false)
	f.Fuzz(func(t *testing.T, seed uint64, blocks, rows uint8, int4 bool) {
		depth, n := 64*(1+int(blocks)), 1+int(rows)%8
		typ, lo := kernels.Int8, -128
		if int4 {
			typ, lo = kernels.Int4, -8
		}
		for i := range available {
			eachTile(&available[i], typ, func(name string, tile tileFunc, offset int32, tokens, step int) {
				r := rand.New(rand.NewPCG(seed, 0))
				w := func() int8 { return int8(lo + r.IntN(-2*lo)) }
				x := func() int8 { return int8(r.IntN(255) - 127) }
				if err := checkTile(t, tile, offset, typ, depth, n*step, tokens, w, x); err != nil {
					t.Errorf("%s %v %s: %v", available[i].name, typ, name, err)
				}
			})
		}
	})
}

// The steps cover the tokens, none is wider than its tile, and where there is a
// block it does all but the first few of many tokens.
func TestDotSteps(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		for tokens := 1; tokens <= 130; tokens++ {
			inBlocks := 0
			for at := 0; at < tokens; {
				n, block := k.w4.step(at, tokens)
				if n < 1 || at+n > tokens || n > maxTile || !block && n > len(k.w4.tiles) || block && (k.w4.block == nil || n != blockTokens) {
					t.Fatalf("token %d of %d: step %d, block %v", at, tokens, n, block)
				}
				at += n
				if block {
					inBlocks += n
				}
			}
			if k.w4.block != nil && tokens > maxTile && tokens-inBlocks >= 2*blockTokens {
				t.Errorf("blocks do %d of %d tokens", inBlocks, tokens)
			}
		}
	})
}

func TestScaleSums(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	const bias, xScale = 12345, float32(0.0123)
	eachISA(t, func(t *testing.T, k *isa) {
		for n := range 40 {
			out, added := guardedOf[float32](t, n), guardedOf[float32](t, n)
			sum, wScale := guardedOf[int32](t, n), guardedOf[float32](t, n)
			for i := range n {
				sum[i], wScale[i], added[i] = int32(r.Uint32()), r.Float32()-0.5, r.Float32()
			}
			before := append([]float32(nil), added...)
			k.scaleSums(out, sum, wScale, xScale, bias)
			k.addSums(added, sum, wScale, xScale, bias)
			for i := range n {
				scale := float32(float64(wScale[i]) * float64(xScale)) // exact, rounded once
				want := float32(float64(float32(sum[i]-bias)) * float64(scale))
				wantAdded := float32(float64(before[i]) + float64(want))
				if math.Float32bits(out[i]) != math.Float32bits(want) {
					t.Fatalf("n=%d: out[%d] = %v, want %v", n, i, out[i], want)
				}
				if math.Float32bits(added[i]) != math.Float32bits(wantAdded) {
					t.Fatalf("n=%d: added[%d] = %v, want %v", n, i, added[i], wantAdded)
				}
			}
		}
	})
}
