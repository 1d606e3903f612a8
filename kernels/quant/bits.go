package quant

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bits is a setting W-A-KV: the bits of weights, activations and KV cache. 16
// means not quantized.
type Bits struct{ W, A, KV int }

// ParseBits reads a setting as "4-8-4".
func ParseBits(s string) (Bits, error) {
	var b Bits
	parts := strings.Split(s, "-")
	if len(parts) != 3 {
		return b, fmt.Errorf("bits %q: want three numbers W-A-KV, as 4-8-4", s)
	}
	for i, p := range []*int{&b.W, &b.A, &b.KV} {
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			return b, fmt.Errorf("bits %q: %q is no number; want W-A-KV, as 4-8-4", s, parts[i])
		}
		*p = n
	}
	return b, b.Check()
}

// Check returns an error that names the first part of b that no kernel has.
func (b Bits) Check() error {
	for _, c := range []struct {
		name string
		bits int
		can  []int
	}{
		{"weights", b.W, []int{4, 8, 16}},
		{"activations", b.A, []int{4, 6, 8, 16}},
		{"KV cache", b.KV, []int{4, 8, 16}},
	} {
		if !slices.Contains(c.can, c.bits) {
			return fmt.Errorf("bits %v: %s of %d bits; want one of %v", b, c.name, c.bits, c.can)
		}
	}
	if b.W == 16 && b.A != 16 {
		return fmt.Errorf("bits %v: float weights take float activations: use 16-16-%d", b, b.KV)
	}
	return nil
}

func (b Bits) String() string { return fmt.Sprintf("%d-%d-%d", b.W, b.A, b.KV) }
