package quant

import (
	"strings"
	"testing"
)

func TestParseBits(t *testing.T) {
	for _, s := range []string{"4-8-4", "8-8-8", "4-16-16", "16-16-4", "4-6-16", "4-4-4"} {
		b, err := ParseBits(s)
		if err != nil || b.String() != s {
			t.Errorf("ParseBits(%q) = %v, %v", s, b, err)
		}
	}
	for s, say := range map[string]string{
		"4-8": "three numbers", "4-8-x": `"x"`, "3-8-4": "weights of 3", "4-5-4": "activations of 5",
		"4-8-2": "KV cache of 2", "16-8-4": "16-16-4", "": "three numbers",
	} {
		if _, err := ParseBits(s); err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("ParseBits(%q): error %v, want one that says %s", s, err, say)
		}
	}
}
