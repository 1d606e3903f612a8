package device

import (
	"strings"
	"testing"

	"github.com/llmqat/llmqat/kernels/cpu"
)

// want fails unless text has all parts.
func want(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q lacks %q", text, p)
		}
	}
}

// open opens a device that is there.
func open(t *testing.T, name string, threads int) *Opened {
	t.Helper()
	d, err := Open(name, threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestCPU(t *testing.T) {
	d := open(t, "cpu", 3)
	if _, ok := d.Device.(*cpu.Device); !ok || d.Threads != 3 {
		t.Errorf("a %T with %d threads, want the CPU with 3", d.Device, d.Threads)
	}
	want(t, d.String(), "cpu/", ": as asked")
}

func TestRefused(t *testing.T) {
	for _, name := range []string{"gpu", "CPU", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:0x1", "cuda:70000", "auto:1"} {
		if d, err := Open(name, 1); err == nil {
			d.Close()
			t.Errorf("%q: opened", name)
		} else {
			want(t, err.Error(), name, "auto, cpu, cuda")
		}
	}
	for _, name := range []string{"auto", "cpu", "cuda"} {
		if d, err := Open(name, -1); err == nil {
			d.Close()
			t.Errorf("%s with -1 threads: opened", name)
		} else {
			want(t, err.Error(), "-1 threads; want")
			if strings.Contains(err.Error(), "device") {
				t.Errorf("%s with -1 threads: %v, which no other device would cure", name, err)
			}
		}
	}
}
