//go:build cuda

package cuda

import (
	"fmt"
	"testing"

	"github.com/llmqat/llmqat/kernels"
)

// procs is a driver whose GPU has another number of SMs.
type procs struct {
	driver
	n int
}

func (p procs) Multiprocessors() int { return p.n }

// TestLinearParts: the outputs of several weights stand side by side, bit for bit the
// CPU's, whatever kernel runs and wherever a weight ends in its tiles; and weights of
// one type share launches.
func TestLinearParts(t *testing.T) {
	const i4, i8 = kernels.Int4, kernels.Int8
	gpu := newTestDevice(t)
	real := gpu.driver
	for _, rows := range []struct {
		tokens, in, procs int
		kernel            string
		each              int // launches for a run of weights
	}{
		{1, 192, 1, "few 8", 1}, {9, 128, 1, "few 16", 1}, {17, 64, 1, "few 32", 1},
		{33, 64, 100, "tile64", 1}, {40, 1100, 100, "tile64, split", 2}, {130, 128, 1, "tile128", 1},
	} {
		for _, weights := range []struct {
			types []kernels.WeightType
			outs  []int
			runs  int
		}{
			{[]kernels.WeightType{i4}, []int{65}, 1},
			{[]kernels.WeightType{i4, i4}, []int{17, 3}, 1},
			{[]kernels.WeightType{i8, i8, i8}, []int{64, 1, 33}, 1},
			{[]kernels.WeightType{i4, i4, i4}, []int{1, 129, 16}, 1},
			{[]kernels.WeightType{i4, i4, i4, i4}, []int{16, 2, 15, 70}, 2},
			{[]kernels.WeightType{i4, i8, i8, i4}, []int{5, 32, 7, 9}, 3},
		} {
			name := fmt.Sprintf("%s: %d tokens, %d inputs, %v outputs %v", rows.kernel, rows.tokens, rows.in, weights.types, weights.outs)
			sameBits(t, gpu, 7, func(s *bitsCase) {
				x := s.rows(rows.tokens, rows.in, 8)
				s.dev.Quantize(x, s.floats(rows.tokens, rows.in))
				var w []kernels.Weight
				total := 0
				for i, out := range weights.outs {
					typ := weights.types[i]
					w = append(w, kernels.Weight{Type: typ, Out: out, In: rows.in, Data: put(s, s.bytes(out*typ.RowBytes(rows.in))), Scale: s.floats(1, out).Buf.Slice(0, out)})
					total += out
				}
				y := s.floats(rows.tokens, total)
				gpu.driver = procs{real, rows.procs}
				gpu.flush()
				s.dev.Linear(y, x, w...)
				if got := len(gpu.queue.launches); s.dev == gpu && got != weights.runs*rows.each {
					t.Errorf("%s: %d launches, want %d for each of %d runs of one type", name, got, rows.each, weights.runs)
				}
				gpu.driver = real
				read(s, name, y.Buf)
			})
		}
	}
}
