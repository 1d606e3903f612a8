//go:build cuda

package cuda

import (
	"os"
	"strings"
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

// fakeDriver skips the test where the driver is a real one.
func fakeDriver(t *testing.T) {
	if !strings.Contains(os.Getenv("LLMQAT_LIBCUDA"), "bin/cuda/") {
		t.Skip("the driver is a real one")
	}
}

func TestOperators(t *testing.T) {
	kerneltest.Run(t, newTestDevice(t), "Memory", "Embed", "Gather", "Quantize", "RMSNorm", "SwiGLU", "NotFinite", "LinearInt", "RoPEAppendKV", "PagedAttention")
}
