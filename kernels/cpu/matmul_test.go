package cpu

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
)

// matmulOperands returns a, b and c of a product, with rows that may be further apart
// than they are long, filled with random numbers.
func matmulOperands(d *Device, r *rand.Rand, op kernels.MatMulOp, m, n, k int) (c, a, b kernels.Floats) {
	floats := func(rows, cols int) kernels.Floats {
		f := kernels.Floats{Rows: rows, Cols: cols, Stride: cols + r.IntN(5)}
		f.Buf = must(kernels.Alloc[float32](d, rows*f.Stride))
		for i, v := 0, view(f.Buf); i < len(v); i++ {
			v[i] = float32(r.NormFloat64())
		}
		return f
	}
	switch op {
	case kernels.MatMulNN:
		return floats(m, n), floats(m, k), floats(k, n)
	case kernels.MatMulNT:
		return floats(m, n), floats(m, k), floats(n, k)
	}
	return floats(m, n), floats(k, m), floats(k, n)
}

// The definition, element by element, for every layout, odd shapes and any number of
// threads.
func TestMatMul(t *testing.T) {
	ops := []kernels.MatMulOp{kernels.MatMulNN, kernels.MatMulNT, kernels.MatMulTN}
	shapes := [][3]int{{1, 1, 1}, {6, 16, 1}, {7, 17, 3}, {5, 15, 256}, {13, 33, 257}, {12, 64, 512}, {1, 130, 70}, {200, 8, 9}, {3, 3, 600}, {97, 66, 31}, {4, 5, 0}}
	var wants [][]float32 // computed by the first device: all have the same operands
	eachISA(t, func(t *testing.T, k *isa) {
		for _, workers := range []int{1, 3} {
			d := must(New(workers, k.name))
			defer d.Close()
			r, product := rand.New(rand.NewPCG(4, 4)), 0
			for _, op := range ops {
				for _, s := range shapes {
					for _, add := range []bool{false, true} {
						c, a, b := matmulOperands(d, r, op, s[0], s[1], s[2])
						if product == len(wants) {
							wants = append(wants, matmulWant(c, a, b, op, s, add))
						}
						want := wants[product]
						product++
						d.MatMul(c, a, b, op, add)
						if err := d.Sync(); err != nil {
							t.Fatal(err)
						}
						for i, got := range view(c.Buf) {
							if !sameFloat(got, want[i]) {
								t.Fatalf("op %d, %v, add=%v, %d threads: element %d is %v, want %v", op, s, add, workers, i, got, want[i])
							}
						}
					}
				}
			}
		}
	})
}

func matmulWant(c, a, b kernels.Floats, op kernels.MatMulOp, s [3]int, add bool) []float32 {
	want := slices.Clone(view(c.Buf))
	x, w := matrixOf(a, op == kernels.MatMulTN), matrixOf(b, op == kernels.MatMulNT)
	for i := range s[0] {
		for j := range s[1] {
			y := &want[i*c.Stride+j]
			if !add {
				*y = 0
			}
			for from := 0; from < s[2]; from += fp.Block {
				var sum float32
				for p := from; p < min(from+fp.Block, s[2]); p++ {
					sum = fp.FMA(x.v[i*x.row+p*x.col], w.v[p*w.row+j*w.col], sum)
				}
				*y += sum
			}
		}
	}
	return want
}

func TestMatMulAllocates(t *testing.T) {
	d := must(New(2, ""))
	defer d.Close()
	c, a, b := matmulOperands(d, rand.New(rand.NewPCG(1, 1)), kernels.MatMulNT, 50, 40, 30)
	if n := testing.AllocsPerRun(50, func() { d.MatMul(c, a, b, kernels.MatMulNT, false) }); n != 0 {
		t.Errorf("%v allocations a call, want 0", n)
	}
}

// BenchmarkMatMul runs the products of a training step of 2,048 tokens, beside the
// multiply-adds that the machine reaches at most.
func BenchmarkMatMul(b *testing.B) {
	for _, k := range available[1:] {
		for _, workers := range []int{1, 2} {
			for _, s := range [][2]int{{64, 64}, {64, 172}, {192, 512}, {512, 64}, {2048, 2048}} {
				for op, name := range []string{"nn", "nt", "tn"} {
					out, in := s[0], s[1]
					m, n, depth := 2048, in, out // dX = dY · W
					switch kernels.MatMulOp(op) {
					case kernels.MatMulNT:
						n, depth = out, in
					case kernels.MatMulTN:
						m, n, depth = out, in, 2048
					}
					b.Run(fmt.Sprintf("isa=%s/workers=%d/out=%d/in=%d/op=%s", k.name, workers, out, in, name), func(b *testing.B) {
						d := must(New(workers, k.name))
						defer d.Close()
						y, x, w := matmulOperands(d, rand.New(rand.NewPCG(1, 1)), kernels.MatMulOp(op), m, n, depth)
						for b.Loop() {
							d.MatMul(y, x, w, kernels.MatMulOp(op), false)
						}
						macs := float64(m) * float64(n) * float64(depth) * float64(b.N) / b.Elapsed().Seconds()
						b.ReportMetric(macs/1e9, "GMAC/s")
						b.ReportMetric(100*macs/d.Float32Peak(), "%peak")
					})
				}
			}
		}
	}
}
