//go:build cuda

package cuda

import (
	"os"

	"testing"

	"github.com/llmqat/llmqat/kernels/kerneltest"
)

// newTestDevice returns the GPU, or the one that the driver at LLMQAT_LIBCUDA makes
// up. Without either the test is skipped.
func newTestDevice(t *testing.T) *Device {
	t.Helper()
	d, err := New(0)
	if err != nil && os.Getenv("LLMQAT_LIBCUDA") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// schedules are the emulator's: a barrier that is missing shows under some. A real
// GPU has its own.
var schedules = []string{"1", "77", "0", "2"}

// TestOperators runs under two of them; TestSameBitsAsCPU, which is shorter, under all.
func TestOperators(t *testing.T) {
	for _, seed := range schedules[:2] {
		t.Run("seed="+seed, func(t *testing.T) {
			t.Setenv("LLMQAT_EMU_SEED", seed)
			kerneltest.Run(t, newTestDevice(t))
		})
	}
}
