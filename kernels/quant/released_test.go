package quant

import (
	"math"
	"slices"
	"testing"
)

// By hand: 7-1e-6 makes max|x| + 1e-6 the float32 7, s 1 and the divisor 1.000001, whose
// nearest float32 is 1 + 8·2⁻²³. 1-1e-6 makes s 7. Beside 127 the 1e-6 is lost: s is 1.
func TestReleased(t *testing.T) {
	const by1, by7 = 1 + 8.0/(1<<23), 7 + 2.0/(1<<21) // 7.000001: floats are 2⁻²¹ apart there
	top7, top1 := float32(7-1e-6), float32(1-1e-6)
	for _, c := range []struct {
		name string
		bits int
		x    []float32
		want []float32
	}{
		{"ties go to even", 4, []float32{top7, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5}, []float32{7 / float32(by1), 0, 2 / float32(by1), 2 / float32(by1), 0, -2 / float32(by1), -2 / float32(by1)}},
		{"s of 7", 4, []float32{-top1, 0.5, 0.07}, []float32{-7 / float32(by7), 4 / float32(by7), 0}},
		{"8 bits", 8, []float32{127, 3.4, -3.6}, []float32{127 / float32(by1), 3 / float32(by1), -4 / float32(by1)}},
		{"zeros", 4, []float32{0, 0}, []float32{0, 0}},
		// s = 7/2e-6 = 3.5e6, and 1e-6 is 3.5: values of the epsilon's size are halved steps.
		{"tiny", 4, []float32{1e-6, 0.5e-6}, []float32{4 / 3.5e6, 2 / 3.5e6}},
	} {
		got := make([]float32, len(c.x))
		if !Released(got, c.x, c.bits) {
			t.Errorf("%s: not finite", c.name)
		}
		for i, w := range c.want {
			if got[i] != w && !(c.name == "tiny" && math.Abs(float64(got[i]/w)-1) < 1e-6) {
				t.Errorf("%s: %v becomes %v, want %v", c.name, c.x[i], got[i], w)
			}
		}
		x := slices.Clone(c.x)
		if Released(x, x, c.bits); !slices.Equal(x, got) {
			t.Errorf("%s: in place %v, else %v", c.name, x, got)
		}
	}
	for _, bad := range []float32{inf, -inf, nan} {
		if x := []float32{1, bad}; Released(x, x, 8) || x[0] != 1 {
			t.Errorf("%v went through: %v", bad, x)
		}
	}
}
