//go:build cuda

package cuda

import "testing"

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
	const limit, declared = 99 << 10, 48 << 10 // linear_int.cu's tiles of 128
	if got := d.driver.SharedPerCTA(); got != limit {
		t.Errorf("%d bytes of shared memory a CTA, want %d", got, limit)
	}
	f := d.kernels["linear_w4_tile128"].function
	if err := d.driver.AllowShared(f, limit-declared); err != nil {
		t.Error(err)
	}
	want(t, d.driver.AllowShared(f, limit-declared+1), "cuFuncSetAttribute: invalid argument")
}
