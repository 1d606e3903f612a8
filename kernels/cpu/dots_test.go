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
	kernel := k.of(typ)
	for i, tile := range kernel.tiles {
		f(fmt.Sprintf("tile %d", i+1), tile.dots, kernel.offset, i+1, tile.rows)
	}
}

// checkTile compares a tile with the plain sum over the unpacked integers, k of rows and
// tokens of depth inputs.
func checkTile(t testing.TB, tile tileFunc, offset int32, typ kernels.WeightType, k, depth, rows, tokens int, w, x func() int8) error {
	stride, rb, unread := rows+2, typ.RowBytes(depth), depth-k
	packed, xs := guardedOf[uint8](t, rows*rb-typ.RowBytes(unread)), guardedOf[int8](t, tokens*depth-unread)
	plain := make([]int8, rows*depth)
	for i := range plain {
		plain[i] = w()
	}
	for i := range xs {
		xs[i] = x()
	}
	for r := range rows {
		packWeights(packed[r*rb:min((r+1)*rb, len(packed))], plain[r*depth:min((r+1)*depth, len(plain)-unread)], typ)
	}
	sum := guardedOf[int32](t, (tokens-1)*stride+rows)
	const untouched = 123456789
	for i := range sum {
		sum[i] = untouched
	}
	tile(sum, packed, xs, k, rows, stride, len(packed), 64, depth)
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
			want += (int64(plain[r*depth+j]) + int64(offset)) * int64(xs[token*depth+j])
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
							if err := checkTile(t, tile, offset, typ, depth, depth, rows*step, n, v.w, v.x); err != nil {
								t.Fatalf("%v %s, %s, k=%d, %d rows: %v", typ, name, v.name, depth, rows*step, err)
							}
						}
					}
				}
			})
		})
	}
}

// Tiles of kernels with a span take a part of each row and token.
func TestDotsOfSpan(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	eachISA(t, func(t *testing.T, k *isa) {
		for _, typ := range []kernels.WeightType{kernels.Int4, kernels.Int8} {
			if k.of(typ).span == 0 {
				continue
			}
			w, x := func() int8 { return int8(r.IntN(16) - 8) }, func() int8 { return int8(r.IntN(255) - 127) }
			eachTile(k, typ, func(name string, tile tileFunc, offset int32, n, step int) {
				for _, span := range []int{64, 192, 512, 576} {
					if err := checkTile(t, tile, offset, typ, span, 576, 3*step, n, w, x); err != nil {
						t.Fatalf("%v %s, %d of 576 inputs: %v", typ, name, span, err)
					}
				}
			})
		}
	})
}

// dots gives the sums of every number of rows and tokens, whole or in spans.
func TestDotKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 9))
	eachISA(t, func(t *testing.T, k *isa) {
		for _, typ := range []kernels.WeightType{kernels.Int4, kernels.Int8} {
			kernel := k.of(typ)
			for n := 1; n <= len(kernel.tiles); n++ {
				for rows := 1; rows <= 9; rows++ {
					for _, depth := range []int{64, 5632, 11008} {
						tile := func(sum []int32, w []uint8, x []int8, _, rows, stride, ahead, step, depth int) {
							whole, part := make([]int32, n*rows), make([]int32, n*rows)
							kernel.dots(whole, part, w, x, depth, rows, n, ahead, step)
							for i, s := range whole {
								sum[i/rows*stride+i%rows] = s
							}
						}
						w, x := func() int8 { return int8(r.IntN(16) - 8) }, func() int8 { return int8(r.IntN(255) - 127) }
						if err := checkTile(t, tile, kernel.offset, typ, depth, depth, rows, n, w, x); err != nil {
							t.Fatalf("%v, %d rows, %d tokens, %d inputs: %v", typ, rows, n, depth, err)
						}
						if testing.Short() && rows > 4 {
							break
						}
					}
				}
			}
		}
	})
}

func FuzzDots(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(2), true)
	f.Add(uint64(2), uint8(8), uint8(1), false)
	f.Fuzz(func(t *testing.T, seed uint64, blocks, rows uint8, int4 bool) {
		depth, n := 64*(1+int(blocks)%16), 1+int(rows)%8 // TestDotKernels has long ones
		typ, lo := kernels.Int8, -128
		if int4 {
			typ, lo = kernels.Int4, -8
		}
		for i := range available {
			eachTile(&available[i], typ, func(name string, tile tileFunc, offset int32, tokens, step int) {
				r := rand.New(rand.NewPCG(seed, 0))
				w := func() int8 { return int8(lo + r.IntN(-2*lo)) }
				x := func() int8 { return int8(r.IntN(255) - 127) }
				if err := checkTile(t, tile, offset, typ, depth, depth, n*step, tokens, w, x); err != nil {
					t.Errorf("%s %v %s: %v", available[i].name, typ, name, err)
				}
			})
		}
	})
}

func TestScaleSums(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	const offset, outGap, sumGap = 128, 3, 5
	eachISA(t, func(t *testing.T, k *isa) {
		for rows := range 40 {
			tokens := 1 + rows%3
			outStride, sumStride := rows+outGap, rows+sumGap
			out, before := guardedOf[float32](t, (tokens-1)*outStride+rows), make([]float32, tokens*outStride)
			added := guardedOf[float32](t, len(out))
			sum, wScale := guardedOf[int32](t, (tokens-1)*sumStride+rows), guardedOf[float32](t, rows)
			xScale, xSum := guardedOf[float32](t, tokens), guardedOf[int32](t, tokens)
			for i := range sum {
				sum[i] = int32(r.Uint32())
			}
			for i := range wScale {
				wScale[i] = r.Float32() - 0.5
			}
			for i := range added {
				before[i] = r.Float32()
			}
			copy(out, before)
			copy(added, before)
			for i := range tokens {
				xScale[i], xSum[i] = r.Float32(), int32(r.Uint32())
			}
			k.scaleSums(out, outStride, sum, sumStride, wScale, xScale, xSum, offset)
			k.addSums(added, outStride, sum, sumStride, wScale, xScale, xSum, offset)
			for i := range out {
				token, row := i/outStride, i%outStride
				want, wantAdded := before[i], before[i]
				if row < rows {
					scale := float32(float64(wScale[row]) * float64(xScale[token])) // exact, rounded once
					want = float32(float64(float32(sum[token*sumStride+row]-offset*xSum[token])) * float64(scale))
					wantAdded = float32(float64(before[i]) + float64(want))
				}
				if math.Float32bits(out[i]) != math.Float32bits(want) {
					t.Fatalf("%d rows: out[%d, %d] = %v, want %v", rows, token, row, out[i], want)
				}
				if math.Float32bits(added[i]) != math.Float32bits(wantAdded) {
					t.Fatalf("%d rows: added[%d, %d] = %v, want %v", rows, token, row, added[i], wantAdded)
				}
			}
		}
	})
}
