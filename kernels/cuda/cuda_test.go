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

// TestOperators runs under several of the emulator's schedules: a barrier that is
// missing shows under some. A real GPU has its own.
func TestOperators(t *testing.T) {
	for _, seed := range []string{"1", "0", "2", "77"} {
		if seed != "1" && testing.Short() {
			continue
		}
		t.Run("seed="+seed, func(t *testing.T) {
			t.Setenv("LLMQAT_EMU_SEED", seed)
			kerneltest.Run(t, newTestDevice(t))
		})
	}
}
