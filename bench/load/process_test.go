package load

import (
	"os"
	"strings"
	"testing"
)

func TestParseProcess(t *testing.T) {
	const status = "Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t   30 kB\nVmRSS:\t   20 kB\nRssAnon:\t   10 kB\nRssFile:\t    9 kB\n"
	const stat = "7 (a) b c) S 1 7 7 0 -1 4194560 2 0 0 0 150 50 0 0 20 0 5 0 100"
	p, err := parseProcess(status, stat)
	if err != nil || p != (Process{20 << 10, 10 << 10, 30 << 10, 2}) {
		t.Errorf("%+v, error %v", p, err)
	}
	for _, c := range [][2]string{{"VmRSS:\tmany kB\n", stat}, {status, ""}, {status, "7 (x) S 1 2"}, {status, strings.Replace(stat, "150", "x", 1)}} {
		if _, err := parseProcess(c[0], c[1]); err == nil {
			t.Errorf("%q, %q: no error", c[0], c[1])
		}
	}
}

// This process has memory, and a process that is not there is named.
func TestWatch(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc here")
	}
	burn := func(until float64) {
		for ownCPU() < until {
		}
	}
	burn(0.1)
	stop, err := watch(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	before := ownCPU()
	burn(before + 0.05)
	p, after := stop(), ownCPU()
	if p.Resident < 1<<20 || p.Anon <= 0 || p.Anon > p.Resident || p.Peak < p.Resident || p.CPU < 0.04 || p.CPU > after-0.09 {
		t.Errorf("%+v; took %v s of processor time before and %v after", p, before, after)
	}
	if _, err := watch(1 << 30); err == nil || !strings.Contains(err.Error(), "/proc/1073741824") {
		t.Errorf("error %v", err)
	}
}
