//go:build cuda

package cuda

import (
	"math/rand/v2"
	"testing"

	"github.com/llmqat/llmqat/kernels"
)

// desktop makes the stand-in driver's GPU one whose CTAs have 99 KiB: sm_86 or sm_89.
func desktop(t *testing.T) *Device {
	t.Helper()
	t.Setenv("LLMQAT_FAKECUDA", "shared=101376")
	d, _ := fake(t)
	return d
}

// TestSharedPerCTA: the limit is the driver's, and holds for what a kernel declares
// and what a launch adds.
func TestSharedPerCTA(t *testing.T) {
	d := desktop(t)
	const limit = 99 << 10
	if got := d.driver.SharedPerCTA(); got != limit {
		t.Errorf("%d bytes of shared memory a CTA, want %d", got, limit)
	}
	for _, c := range []struct {
		kernel string
		bytes  int
		ok     bool
	}{{"linear_w4_8", limit, true}, {"linear_w4_8", limit + 1, false}, {"rms_norm", limit, false}} { // which declares some
		err := d.driver.AllowShared(d.kernels[c.kernel].function, c.bytes)
		if c.ok && err != nil {
			t.Errorf("%s, %d bytes: %v", c.kernel, c.bytes, err)
		} else if !c.ok {
			want(t, err, "cuFuncSetAttribute: invalid argument")
		}
	}
}

// TestLinearFits: so do the kernels of linear layers, where 99 KiB is the limit.
func TestLinearFits(t *testing.T) {
	d := desktop(t)
	for _, typ := range []kernels.WeightType{kernels.Int4, kernels.Int8} {
		for _, tokens := range []int{1, 16} {
			sameBits(t, d, tokens, func(s *bitsCase) {
				x, w, y := s.linear(tokens, 64, []kernels.WeightType{typ}, []int{3})
				s.dev.Linear(y, x, w...)
				read(s, "few tokens", y.Buf)
			})
		}
		for _, tile := range []*linearTile{tile32, tile64, tile128, tile256} {
			s := &bitsCase{T: t, dev: d, rand: rand.New(rand.NewPCG(1, 1))}
			x, w, y := s.linear(1, 64, []kernels.WeightType{typ}, []int{3})
			d.linearTile(tile, 1, linearParams{out: at(y.Buf), stride: uint64(y.Stride), weights: w}, x)
			if err := d.Sync(); err != nil {
				t.Errorf("%v, tiles of %d by %d: %v", typ, tile.tokens, tile.rows, err)
			}
		}
	}
}
