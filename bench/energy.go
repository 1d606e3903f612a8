package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// powercap is where Linux counts the energy of processors that count it.
const powercap = "/sys/class/powercap"

// meter reads how much energy the processor's packages have used: whole sockets,
// whatever else runs on them. A nil meter reads nothing.
type meter struct{ zones []zone }

// zone is the counter of one package.
type zone struct {
	path  string // of energy_uj
	wraps int64  // it starts again from 0 here, µJ
	last  int64
}

// openMeter returns a meter of all packages below root, or why there is none.
func openMeter(root string) (*meter, error) {
	dirs, err := filepath.Glob(filepath.Join(root, "intel-rapl:*")) // AMD's too
	if err != nil {
		return nil, err
	}
	m := &meter{}
	for _, dir := range dirs {
		// A package's parts (core, dram) are counted in it or beside it, and psys is
		// the whole board: packages are what every machine has.
		if name, _ := os.ReadFile(filepath.Join(dir, "name")); !strings.HasPrefix(string(name), "package-") {
			continue
		}
		z := zone{path: filepath.Join(dir, "energy_uj")}
		if z.wraps, err = counter(filepath.Join(dir, "max_energy_range_uj")); err != nil {
			return nil, err
		}
		if z.last, err = counter(z.path); err != nil {
			return nil, err
		}
		m.zones = append(m.zones, z)
	}
	if len(m.zones) == 0 {
		return nil, errors.New("no package in " + root)
	}
	return m, nil
}

// lap returns the joules since the last lap, and false where they cannot be read. A
// counter may have started again once: at 200 W they do so in more than ten minutes.
func (m *meter) lap() (joules float64, ok bool) {
	if m == nil {
		return 0, false
	}
	for i := range m.zones {
		z := &m.zones[i]
		now, err := counter(z.path)
		if err != nil {
			return 0, false
		}
		used := now - z.last
		if used < 0 {
			used += z.wraps
		}
		z.last = now
		joules += float64(used) / 1e6
	}
	return joules, true
}

func counter(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}
