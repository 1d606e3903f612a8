package cpu

import "testing"

// The loops end, and read reads its buffer only.
func TestPeakLoops(t *testing.T) {
	eachISA(t, func(t *testing.T, k *isa) {
		for n := range 5 {
			k.peak.read(guardedOf[uint8](t, 256*n))
		}
		for _, l := range []peakLoop{k.peak.w4, k.peak.w8, k.peak.fma} {
			l.run(1)
			l.run(3)
			if l.macs <= 0 {
				t.Errorf("%d multiply-adds a loop", l.macs)
			}
		}
	})
}

func TestPeaks(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for a second")
	}
	eachISA(t, func(t *testing.T, k *isa) {
		d, err := New(0, k.name)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		read, w4, w8, f32 := d.ReadBandwidth(256<<20), d.Int8Peak(4), d.Int8Peak(8), d.Float32Peak()
		t.Logf("%d workers: read %.1f GB/s, W4A8 %.1f, W8A8 %.1f, float32 %.1f GMAC/s", d.Workers(), read/1e9, w4/1e9, w8/1e9, f32/1e9)
		// One worker of any machine of this century does a million of each.
		for name, v := range map[string]float64{"read": read, "W4A8": w4, "W8A8": w8, "float32": f32} {
			if !(v > 1e6) {
				t.Errorf("%s: %v a second", name, v)
			}
		}
	})
}
