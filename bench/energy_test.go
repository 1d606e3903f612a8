package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// fakePowercap makes a folder as Linux has it, with the given counters by zone.
func fakePowercap(t *testing.T, zones map[string]int64) (root string, set func(zone string, µJ int64)) {
	root = t.TempDir()
	write := func(zone, file, text string) {
		if err := os.WriteFile(filepath.Join(root, zone, file), []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set = func(zone string, µJ int64) { write(zone, "energy_uj", strconv.FormatInt(µJ, 10)) }
	names := map[string]string{"intel-rapl:0": "package-0", "intel-rapl:1": "package-1", "intel-rapl:0:0": "core", "intel-rapl:2": "psys"}
	for zone, µJ := range zones {
		if err := os.Mkdir(filepath.Join(root, zone), 0o755); err != nil {
			t.Fatal(err)
		}
		write(zone, "name", names[zone])
		write(zone, "max_energy_range_uj", "1000000000")
		set(zone, µJ)
	}
	return root, set
}

// Packages are added up, one that starts again counts on, and parts and the board do
// not count twice.
func TestMeter(t *testing.T) {
	root, set := fakePowercap(t, map[string]int64{"intel-rapl:0": 5e6, "intel-rapl:1": 999_000_000, "intel-rapl:0:0": 1, "intel-rapl:2": 1})
	m, err := openMeter(root)
	if err != nil {
		t.Fatal(err)
	}
	set("intel-rapl:0", 7e6)
	set("intel-rapl:1", 500_000) // past 1,000 J
	set("intel-rapl:0:0", 9e6)
	set("intel-rapl:2", 9e6)
	if j, ok := m.lap(); !ok || j != 2+1.5 {
		t.Errorf("%v J, %v; want 3.5", j, ok)
	}
	if j, ok := m.lap(); !ok || j != 0 {
		t.Errorf("%v J, %v after nothing", j, ok)
	}
	if err := os.Remove(filepath.Join(root, "intel-rapl:1", "energy_uj")); err != nil {
		t.Fatal(err)
	}
	if _, ok := m.lap(); ok {
		t.Error("a counter that is gone was read")
	}
}

func TestNoMeter(t *testing.T) {
	empty, _ := fakePowercap(t, nil)
	parts, _ := fakePowercap(t, map[string]int64{"intel-rapl:0:0": 1, "intel-rapl:2": 1})
	odd, _ := fakePowercap(t, map[string]int64{"intel-rapl:0": 1})
	if err := os.WriteFile(filepath.Join(odd, "intel-rapl:0", "energy_uj"), []byte("many"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{empty, parts, odd, filepath.Join(empty, "missing")} {
		if m, err := openMeter(root); err == nil {
			t.Errorf("%s: %+v", root, m)
		}
	}
	var none *meter
	if _, ok := none.lap(); ok {
		t.Error("nothing was read")
	}
}
