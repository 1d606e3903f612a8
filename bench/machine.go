package bench

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// Machine is what the figures were measured on, with its measured ceilings.
type Machine struct {
	CPU      string     `json:"cpu"`
	OS       string     `json:"os"`
	GPU      string     `json:"gpu,omitempty"`
	Device   string     `json:"device"`   // as "cpu/avx2"
	Ceilings []Ceilings `json:"ceilings"` // of each number of threads, medians over the run
}

func (g *rig) describe() Machine {
	name := strings.TrimSpace(cpuid.CPU.BrandName)
	if name == "" {
		name = runtime.GOARCH
	}
	m := Machine{CPU: name, OS: runtime.GOOS + "/" + runtime.GOARCH, Device: g.dev.Name()}
	if d, ok := g.dev.(interface{ Model() string }); ok {
		m.GPU = d.Model()
	}
	return m
}

// name is what it was measured on.
func (m *Machine) name() string { return cmp.Or(m.GPU, m.CPU) }

// threads spells a number of them.
func threads(n int) string {
	if n == 1 {
		return "1 thread"
	}
	return fmt.Sprintf("%d threads", n)
}

// majorFaults returns how often the process has waited for a page from disk; 0
// where /proc does not tell.
func majorFaults() int64 {
	b, _ := os.ReadFile("/proc/self/stat")
	_, rest, _ := strings.Cut(string(b), ") ") // the name before it may hold anything, but ours does not
	if f := strings.Fields(rest); len(f) > 9 {
		n, _ := strconv.ParseInt(f[9], 10, 64)
		return n
	}
	return 0
}

// residentBytes reads the process's resident memory from /proc/self/status; 0
// where there is none.
func residentBytes() int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if kB, ok := strings.CutPrefix(s.Text(), "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(kB, "kB")), 10, 64)
			return n << 10
		}
	}
	return 0
}
