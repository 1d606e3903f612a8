package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func bytesAt(t testing.TB, r *rand.Rand, n int) []uint8 {
	b := guardedOf[uint8](t, n)
	for i := range b {
		b[i] = uint8(r.Uint32())
	}
	return b
}

var kernelDims = []int{32, 64, 96, 128, 256}

func TestUnpackKV(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, dim := range kernelDims {
			for _, n := range []int{1, 2, 8, 64} {
				src := bytesAt(t, r, n*dim/2)
				for _, off := range []float32{0, 8} {
					got, want := guardedOf[float32](t, n*dim), make([]float32, n*dim)
					k.unpack4(got, src, dim, off)
					unpack4Generic(want, src, dim, off)
					sameBits(t, "unpack4", got, want)
				}
			}
		}
		for _, n := range rowLengths {
			src := bytesAt(t, r, n)
			got, want := guardedOf[float32](t, n), make([]float32, n)
			k.unpack8(got, src)
			unpack8Generic(want, src)
			sameBits(t, "unpack8", got, want)

			k.affine(got, 0.3, -1.7)
			affineGeneric(want, 0.3, -1.7)
			sameBits(t, "affine", got, want)
		}
		// Every float16 but the NaNs.
		src, got, want := make([]uint16, 1<<16), make([]float32, 1<<16), make([]float32, 1<<16)
		for i := range src {
			if src[i] = uint16(i); i&0x7fff > 0x7c00 {
				src[i] = 0
			}
		}
		k.unpack16(got, src)
		unpack16Generic(want, src)
		sameBits(t, "unpack16", got, want)
		h := guardedOf[uint16](t, 24)
		k.unpack16(got[:24], h)
	})
}

func TestScoresInt(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		r := rand.New(rand.NewPCG(2, 2))
		for _, dim := range kernelDims {
			for _, rows := range []int{1, 3, 8} {
				for _, n := range []int{16, 48, 64} {
					for _, edge := range []bool{true, false} {
						name := fmt.Sprintf("dim=%d rows=%d n=%d edge=%v", dim, rows, n, edge)
						q, k4, k8 := guardedOf[int8](t, rows*dim), bytesAt(t, r, n*dim/2), bytesAt(t, r, n*dim)
						scratch := guardedOf[uint8](t, n*dim)
						for i := range q {
							if q[i] = int8(r.IntN(255) - 127); edge {
								q[i] = int8(127 - 254*(i/dim%2))
							}
						}
						if edge {
							for i := range k4 {
								k4[i] = 0xff
							}
							for i := range k8 {
								k8[i] = uint8(0x81 - 2*(i/dim%2)) // ±127
							}
						}
						a := make([]intQuery, rows)
						for i := range a {
							var sum int32
							for _, v := range q[i*dim:][:dim] {
								sum += int32(v)
							}
							a[i] = intQuery{float32(-8 * r.IntN(1000)), float32(sum), r.Float32()}
						}
						kscale, kzero := floatsAt(t, r, n), floatsAt(t, r, n)
						got := guardedOf[float32](t, (rows-1)*splitTokens+n)
						want := make([]float32, len(got))
						k.scores4(got, k4, q, a, kscale, kzero, dim, scratch)
						scores4Generic(want, k4, q, a, kscale, kzero, dim, nil)
						sameBits(t, "scores4 "+name, got, want)
						k.scores8(got, k8, q, a, kscale, kzero, dim, scratch)
						scores8Generic(want, k8, q, a, kscale, kzero, dim, nil)
						sameBits(t, "scores8 "+name, got, want)
					}
				}
			}
		}
	})
}

func TestScoresFloat(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		r := rand.New(rand.NewPCG(3, 2))
		for _, dim := range kernelDims {
			for _, rows := range []int{1, 3, 8} {
				for _, n := range []int{16, 48, 64} {
					q, keys := floatsAt(t, r, rows*dim), floatsAt(t, r, n*dim)
					if n == 16 {
						clear(keys[:dim]) // products of both zeros
					}
					got := guardedOf[float32](t, (rows-1)*splitTokens+n)
					want := make([]float32, len(got))
					k.scoresFloat(got, keys, q, 0.125, n, dim)
					scoresFloatGeneric(want, keys, q, 0.125, n, dim)
					sameBits(t, fmt.Sprintf("dim=%d rows=%d n=%d", dim, rows, n), got, want)
				}
			}
		}
	})
}

func TestSoftmax(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		r := rand.New(rand.NewPCG(4, 2))
		for _, rows := range []int{1, 5} {
			for _, n := range []int{16, 32, 80, 256} {
				got := floatsAt(t, r, (rows-1)*splitTokens+n)
				for i := range got {
					if r.IntN(10) == 0 {
						got[i] = float32(math.Inf(-1)) // masked
					}
				}
				got[0], got[(rows-1)*splitTokens] = 1, 1 // a row sees something
				for i := range got {
					if got[i] > 1e3 {
						got[i] = 90
					}
				}
				want := append([]float32(nil), got...)
				scale, zero := floatsAt(t, r, n), floatsAt(t, r, n)
				var g, w [3][]float32
				for i := range g {
					g[i], w[i] = guardedOf[float32](t, rows), make([]float32, rows)
				}
				k.softmax(got, scale, zero, g[0], g[1], g[2])
				softmaxGeneric(want, scale, zero, w[0], w[1], w[2])
				name := fmt.Sprintf("rows=%d n=%d", rows, n)
				sameBits(t, "weights "+name, got, want)
				for i, part := range []string{"m", "l", "c"} {
					sameBits(t, part+" "+name, g[i], w[i])
				}
			}
		}
	})
}

func TestRescale(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		r := rand.New(rand.NewPCG(8, 2))
		for _, n := range []int{8, 24, 64} {
			var got, want [6][]float32
			for i := range got {
				got[i] = floatsAt(t, r, n)
				for j := range got[i] {
					if got[i][j] = float32(r.NormFloat64() * 30); i == 0 && r.IntN(4) == 0 {
						got[i][j] = float32(math.Inf(-1)) // nothing seen yet
					}
				}
				want[i] = append([]float32(nil), got[i]...)
			}
			k.rescale(got[0], got[1], got[2], got[3], got[4], got[5])
			rescaleGeneric(want[0], want[1], want[2], want[3], want[4], want[5])
			for i, part := range []string{"m", "l", "m2", "l2", "a", "b"} {
				sameBits(t, fmt.Sprintf("%s n=%d", part, n), got[i], want[i])
			}
		}
	})
}

func TestAddValuesMergeDivide(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		r := rand.New(rand.NewPCG(5, 2))
		for _, dim := range kernelDims {
			for _, rows := range []int{1, 3, 4, 7, 8} {
				for _, n := range []int{1, 5, 64} {
					p, v := floatsAt(t, r, (rows-1)*splitTokens+n), floatsAt(t, r, n*dim)
					got := floatsAt(t, r, rows*dim)
					want := append([]float32(nil), got...)
					k.addValues(got, p, v, n, dim)
					addValuesGeneric(want, p, v, n, dim)
					sameBits(t, fmt.Sprintf("addValues dim=%d rows=%d n=%d", dim, rows, n), got, want)
				}
			}
			o, part := floatsAt(t, r, dim), floatsAt(t, r, dim)
			want := append([]float32(nil), o...)
			k.merge(o, part, 0.3, 0.7, -2.5)
			mergeGeneric(want, part, 0.3, 0.7, -2.5)
			sameBits(t, "merge", o, want)

			out := guardedOf[float32](t, dim)
			k.divide(out, o, 3.7)
			divideGeneric(want, o, 3.7)
			sameBits(t, "divide", out, want)
		}
	})
}

func TestValueInts(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		r := rand.New(rand.NewPCG(6, 2))
		for _, dim := range kernelDims {
			for _, n := range []int{4, 20, 64} {
				src := bytesAt(t, r, n*dim/2)
				v4, v8 := guardedOf[int8](t, n*dim), guardedOf[int8](t, n*dim)
				want := make([]int8, n*dim)
				for _, off := range []int8{8, 0} {
					k.quads4(v4, src, dim, off)
					quads4Generic(want, src, dim, off)
					same(t, fmt.Sprintf("quads4 dim=%d n=%d", dim, n), v4, want)
				}
				src = bytesAt(t, r, n*dim)
				for i := range src {
					if src[i] == 0x80 {
						src[i] = 0x81
					}
				}
				k.quads8(v8, src, dim)
				quads8Generic(want, src, dim)
				same(t, fmt.Sprintf("quads8 dim=%d n=%d", dim, n), v8, want)

				for _, rows := range []int{1, 2, 3, 4, 5, 8, 13} {
					for _, edge := range []bool{true, false} {
						p := guardedOf[uint8](t, (2*rows-1)*splitTokens+n)
						for i := range p {
							if p[i] = uint8(r.IntN(128)); edge {
								p[i] = 127
							}
						}
						if edge { // the largest sums of either sign
							for i := range v4 {
								v4[i], v8[i] = 15, int8(127-254*(i/4%dim%2))
							}
						}
						got := make([]int32, rows*dim)
						for i := range got {
							got[i] = int32(r.IntN(1<<30)) - 1<<29
						}
						want := append([]int32(nil), got...)
						k.addInts4(got, p, v4, n, dim)
						addIntsGeneric(want, p, v4, n, dim)
						same(t, fmt.Sprintf("addInts4 dim=%d rows=%d n=%d", dim, rows, n), got, want)
						k.addInts8(got, p, v8, n, dim)
						addIntsGeneric(want, p, v8, n, dim)
						same(t, fmt.Sprintf("addInts8 dim=%d rows=%d n=%d", dim, rows, n), got, want)
					}
				}
			}
			sums := guardedOf[int32](t, dim)
			for i := range sums {
				sums[i] = int32(r.IntN(1<<30)) - 1<<29
			}
			got, want := guardedOf[float32](t, dim), make([]float32, dim)
			k.scaleInts(got, sums, 0.3)
			scaleIntsGeneric(want, sums, 0.3)
			sameBits(t, "scaleInts", got, want)
		}
	})
}

func TestWeigh(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		r := rand.New(rand.NewPCG(7, 2))
		for _, rows := range []int{1, 2, 5} {
			for _, n := range []int{16, 32, 80, 256} {
				for _, size := range []float64{0, 0x1p-130, weightTiny, 1e-20, 1, 60000} {
					s := guardedOf[float32](t, (rows-1)*splitTokens+n)
					for i := range s {
						s[i] = float32(min(1, r.ExpFloat64()*r.Float64()) * size)
					}
					s[0] = float32(size) // weightTiny itself is not too small
					got, want := guardedOf[uint8](t, (2*rows-1)*splitTokens+n), make([]uint8, (2*rows-1)*splitTokens+n)
					gotUnit, wantUnit := guardedOf[float32](t, rows), make([]float32, rows)
					k.weigh(got, s, gotUnit, n)
					weighGeneric(want, s, wantUnit, n)
					name := fmt.Sprintf("rows=%d n=%d size=%g", rows, n, size)
					same(t, name, got, want)
					sameBits(t, "unit "+name, gotUnit, wantUnit)
				}
			}
		}
	})
}
