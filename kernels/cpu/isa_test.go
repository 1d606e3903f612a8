package cpu

import "testing"

// eachISA runs f on every instruction set of this machine.
func eachISA(t *testing.T, f func(t *testing.T, k *isa)) {
	for i := range available {
		t.Run(available[i].name, func(t *testing.T) { f(t, &available[i]) })
	}
}
