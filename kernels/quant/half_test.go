package quant

import (
	"math"
	"testing"
)

// half16 is the value of a float16 by its definition.
func half16(h uint16) float64 {
	e, m := int(h>>10&0x1f), float64(h&0x3ff)
	v := math.Ldexp(1024+m, e-25)
	switch {
	case e == 0:
		v = math.Ldexp(m, -24)
	case e == 31 && m == 0:
		v = math.Inf(1)
	case e == 31:
		return math.NaN()
	}
	return math.Copysign(v, 1-2*float64(h>>15))
}

func TestFloat16All(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		want, got := half16(h), Float16To32(h)
		if want != want {
			// F16C and FCVTL quiet a NaN, keep its payload at the top, and its sign.
			if b := uint32(h&0x8000)<<16 | 0x7fc00000 | uint32(h&0x3ff)<<13; math.Float32bits(got) != b {
				t.Fatalf("Float16To32(%#04x) = %#08x, want %#08x", h, math.Float32bits(got), b)
			}
			if back := Float16(got); back != h|0x200 {
				t.Fatalf("Float16(Float16To32(%#04x)) = %#04x, want %#04x", h, back, h|0x200)
			}
			continue
		}
		if math.Float64bits(float64(got)) != math.Float64bits(want) {
			t.Fatalf("Float16To32(%#04x) = %v, want %v", h, got, want)
		}
		if back := Float16(got); back != h {
			t.Fatalf("Float16(%v) = %#04x, want %#04x", got, back, h)
		}
	}
}

// Between each two neighbours: the tie goes to the even one, and the next float32
// on either side of the tie to the nearer.
func TestFloat16Rounds(t *testing.T) {
	inf := float32(math.Inf(1))
	for lo := range uint16(0x7c00) {
		hi := lo + 1
		above := half16(hi)
		if hi == 0x7c00 {
			above = 65536 // infinity takes the place of the next power of two
		}
		tie := float32((half16(lo) + above) / 2)
		even := lo + lo&1
		for _, c := range []struct {
			x    float32
			want uint16
		}{{tie, even}, {math.Nextafter32(tie, 0), lo}, {math.Nextafter32(tie, inf), hi}} {
			if got := Float16(c.x); got != c.want {
				t.Fatalf("Float16(%x) = %#04x, want %#04x", c.x, got, c.want)
			}
			if got := Float16(-c.x); got != c.want|0x8000 {
				t.Fatalf("Float16(%x) = %#04x, want %#04x", -c.x, got, c.want|0x8000)
			}
		}
	}
	for _, x := range []float32{65536, 1e10, math.MaxFloat32, inf} {
		if got := Float16(x); got != 0x7c00 {
			t.Errorf("Float16(%v) = %#04x, want infinity", x, got)
		}
	}
	if Float16(1e-45) != 0 || Float16(-1e-45) != 0x8000 || Float16To32(0x7bff) != MaxFloat16 {
		t.Error("tiny values become signed zeros, and the largest float16 is MaxFloat16")
	}
}

func TestBFloat16All(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		x := BFloat16To32(h)
		if math.Float32bits(x) != uint32(h)<<16 {
			t.Fatalf("BFloat16To32(%#04x) = %#08x", h, math.Float32bits(x))
		}
		want := h
		if x != x {
			want |= 0x40
		}
		if back := BFloat16(x); back != want {
			t.Fatalf("BFloat16(%v) = %#04x, want %#04x", x, back, want)
		}
		if x-x != 0 {
			continue
		}
		up, even := h+1, h+h&1 // in magnitude
		for low, want := range map[uint32]uint16{1: h, 0x7fff: h, 0x8000: even, 0x8001: up, 0xffff: up} {
			if got := BFloat16(math.Float32frombits(uint32(h)<<16 | low)); got != want {
				t.Fatalf("BFloat16(%#04x%04x) = %#04x, want %#04x", h, low, got, want)
			}
		}
	}
	for _, b := range []uint32{0x7f800001, 0xff800001, 0x7fffffff, 0x7f80ffff} { // NaNs whose payload is cut off
		if got := BFloat16To32(BFloat16(math.Float32frombits(b))); got == got {
			t.Errorf("BFloat16(%#08x) became the number %v", b, got)
		}
	}
}
