//go:build cuda

package cuda

import (
	"testing"

	"github.com/llmqat/llmqat/kernels"
)

// TestLongestNorm: the longest row that RMSNorm takes works, one longer is refused.
func TestLongestNorm(t *testing.T) {
	d := newTestDevice(t)
	for _, n := range []int{maxNormed, maxNormed + 8} {
		ones := make([]float32, n)
		for i := range ones {
			ones[i] = 1
		}
		row := func() kernels.Floats { return kernels.Floats{Buf: upload(t, d, ones), Rows: 1, Cols: n, Stride: n} }
		out := row()
		d.RMSNorm(kernels.Rows{Bits: 16, N: 1, Cols: n, Stride: n, F: out}, row(), upload(t, d, ones), 0)
		err := d.Sync()
		if n > maxNormed {
			want(t, err, "RMSNorm", "rows of 32776 columns", "32768")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, n)
		kernels.Download(d, got, out.Buf)
		for i, x := range got {
			if x != 1 {
				t.Fatalf("column %d is %v, want 1", i, x)
			}
		}
	}
}
