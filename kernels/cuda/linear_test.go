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

// linearCases are weights side by side: of one type and of several, with ends that fit
// no tile, or all, and none; runs is how many launches they take.
var linearCases = []struct {
	types []kernels.WeightType
	outs  []int
	runs  int
}{
	{[]kernels.WeightType{kernels.Int4}, []int{65}, 1},
	{[]kernels.WeightType{kernels.Int4, kernels.Int4, kernels.Int4}, []int{1, 257, 16}, 1},
	{[]kernels.WeightType{kernels.Int8, kernels.Int8, kernels.Int8}, []int{130, 0, 5}, 1},
	{[]kernels.WeightType{kernels.Int4, kernels.Int4}, []int{17, 3}, 1},
	{[]kernels.WeightType{kernels.Int8, kernels.Int8, kernels.Int8}, []int{64, 1, 33}, 1},
	{[]kernels.WeightType{kernels.Int4, kernels.Int4, kernels.Int4, kernels.Int4}, []int{16, 2, 128, 70}, 2},
	{[]kernels.WeightType{kernels.Int4, kernels.Int8, kernels.Int8, kernels.Int4}, []int{5, 32, 7, 9}, 3},
}

// TestLinearParts: the outputs of several weights stand side by side, bit for bit the
// CPU's, whatever kernel runs and wherever a weight ends in its tiles; and weights of
// one type share a launch.
func TestLinearParts(t *testing.T) {
	gpu := newTestDevice(t)
	real := gpu.driver
	for i, rows := range []struct {
		tokens, in, procs int
		kernel            string
	}{
		{1, 192, 1, "8"}, {9, 1088, 1, "16"}, {17, 64, 1, "tile32"}, {32, 2112, 100, "tile32"},
		{33, 64, 1, "tile64"}, {40, 2112, 100, "tile64"}, {130, 128, 100, "tile64"}, {130, 192, 1, "tile256"},
	} {
		for _, c := range linearCases {
			name := fmt.Sprintf("%d tokens, %d inputs, %v outputs %v, %d SMs", rows.tokens, rows.in, c.types, c.outs, rows.procs)
			t.Setenv("LLMQAT_EMU_SEED", schedules[i%len(schedules)])
			sameBits(t, gpu, 7, func(s *bitsCase) {
				x, w, y := s.linear(rows.tokens, rows.in, c.types, c.outs)
				gpu.driver = procs{real, rows.procs}
				gpu.flush()
				s.dev.Linear(y, x, w...)
				if s.dev == gpu {
					if got := len(gpu.queue.launches); got != c.runs {
						t.Errorf("%s: %d launches, want %d", name, got, c.runs)
					}
					for _, l := range gpu.queue.launches {
						if f := gpu.kernels["linear_w4_"+rows.kernel].function; l.function != f && l.function != gpu.kernels["linear_w8_"+rows.kernel].function {
							t.Errorf("%s: not by %s", name, rows.kernel)
						}
					}
				}
				gpu.driver = real
				read(s, name, y.Buf)
			})
		}
	}
}

// TestLinearTiles: every kind of tile gives the CPU's bits, alone and with its inputs
// split, added to what was there, and twice: CTAs that share a tile count from zero again.
func TestLinearTiles(t *testing.T) {
	gpu := newTestDevice(t)
	for i, tile := range []*linearTile{tile32, tile64, tile128, tile256} {
		for _, splits := range []int{1, 3} {
			for _, c := range linearCases[:3] {
				name := fmt.Sprintf("tile of %d tokens by %d rows, %d splits, %v outputs %v", tile.tokens, tile.rows, splits, c.types, c.outs)
				t.Setenv("LLMQAT_EMU_SEED", schedules[(i+splits)%len(schedules)])
				sameBits(t, gpu, 8, func(s *bitsCase) {
					x, w, y := s.linear(tile.tokens+3, 5*64, c.types, c.outs)
					for range 2 {
						switch {
						case s.dev == gpu:
							l := linearParams{out: at(y.Buf), stride: uint64(y.Stride), weights: w}
							if len(w) == 1 {
								l.add = 1
							}
							gpu.linearTile(tile, splits, l, x)
						case len(w) == 1:
							s.dev.LinearAdd(y, x, w[0])
						default:
							s.dev.Linear(y, x, w...)
						}
					}
					read(s, name, y.Buf)
				})
			}
		}
	}
}

// linear returns a case of Linear with random operands; out holds numbers too.
func (s *bitsCase) linear(tokens, in int, types []kernels.WeightType, outs []int) (x kernels.Rows, w []kernels.Weight, out kernels.Floats) {
	x = s.rows(tokens, in, 8)
	s.dev.Quantize(x, s.floats(tokens, in))
	total := 0
	for i, n := range outs {
		scale := s.floats(1, max(n, 1)).Buf.Slice(0, n)
		w = append(w, kernels.Weight{Type: types[i], Out: n, In: in, Data: put(s, s.bytes(n*types[i].RowBytes(in))), Scale: scale})
		total += n
	}
	return x, w, s.floats(tokens, total)
}

// TestCutLinear: LLaMA-7B on an H100.
func TestCutLinear(t *testing.T) {
	for _, c := range []struct {
		tokens, out, in int
		tile            *linearTile
		splits          int
	}{
		{32, 4096, 4096, tile32, 4}, {32, 4096, 11008, tile32, 4}, {32, 12288, 4096, tile32, 1},
		{64, 4096, 4096, tile64, 4}, {64, 22016, 4096, tile64, 1}, {64, 1024, 4096, tile64, 4},
		{65, 4096, 4096, tile64, 2}, {256, 12288, 4096, tile64, 1},
		{512, 4096, 4096, tile128, 1},                                    // 128 of 132
		{512, 12288, 4096, tile128, 1},                                   // 384 of 396; tile256: 192 of 264
		{2048, 4096, 11008, tile256, 1}, {2048, 32000, 4096, tile256, 1}, // 256, 2,000
	} {
		l := linearParams{weights: []kernels.Weight{{Out: c.out}}}
		if tile, splits := cutLinear(132, &l, c.tokens, c.in); tile != c.tile || splits != c.splits {
			t.Errorf("%d tokens, %d outputs, %d inputs: %s in %d, want %s in %d",
				c.tokens, c.out, c.in, tile.names[0], splits, c.tile.names[0], c.splits)
		}
	}
}
