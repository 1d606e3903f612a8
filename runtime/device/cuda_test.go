//go:build cuda

package device

import (
	"os"
	"os/exec"
	"testing"
)

func TestGPU(t *testing.T) {
	if d, err := Open("cuda", 1); err == nil {
		d.Close()
	} else if os.Getenv("LLMQAT_LIBCUDA") == "" {
		t.Skip(err)
	}
	for _, name := range []string{"auto", "cuda", "cuda:0"} {
		d := open(t, name, 2)
		want(t, d.String(), "cuda/sm_", ": GPU 0, ")
		if d.Threads != 2 {
			t.Errorf("%d threads, want 2", d.Threads)
		}
		d.Close()
	}
	_, err := Open("cuda:999", 1)
	want(t, err.Error(), "device cuda:999: cuda: no GPU 999: there are", "cpu or auto")
}

// TestNoDriver: a binary with CUDA in it runs on the CPU where no driver is, and says
// which is missing. The driver is opened as the process starts.
func TestNoDriver(t *testing.T) {
	const missing = "/nowhere/libcuda.so.1"
	if os.Getenv("LLMQAT_LIBCUDA") == missing {
		want(t, open(t, "auto", 1).String(), "cpu/", ": no CUDA driver: "+missing+": cannot open shared object file")
		_, err := Open("cuda", 1)
		want(t, err.Error(), "no CUDA driver: "+missing, "cpu or auto")
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoDriver$")
	cmd.Env = append(os.Environ(), "LLMQAT_LIBCUDA="+missing)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
