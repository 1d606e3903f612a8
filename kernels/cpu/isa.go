package cpu

import (
	"fmt"
	"os"
	"strings"
)

// isa is one instruction set's inner loops: the whole list of what assembly may
// replace. The generic table defines every entry; tests hold the others to it.
type isa struct {
	name string
	intKernels
	floatKernels
	rowKernels
	attentionKernels
	matmul matmulKernels
	train  trainKernels
	sample sampleKernels
	peak   peakKernels
}

var generic = isa{"generic", intGeneric, floatGeneric, rowGeneric, attentionGeneric, matmulGenerics, trainGeneric, sampleGeneric, peakGeneric}

// available lists what this machine can run, slowest first. Each isa_$GOARCH.go
// appends to it in init.
var available = []isa{generic}

// ISAs returns the names of the instruction sets that this machine can run,
// slowest first.
func ISAs() []string {
	var names []string
	for _, k := range available {
		names = append(names, k.name)
	}
	return names
}

// choose returns the table called name, by default $LLMQAT_ISA or the fastest.
func choose(name string) (*isa, error) {
	if name == "" {
		name = os.Getenv("LLMQAT_ISA")
	}
	if name == "" {
		return &available[len(available)-1], nil
	}
	for i := range available {
		if available[i].name == name {
			return &available[i], nil
		}
	}
	return nil, fmt.Errorf("LLMQAT_ISA=%q: this machine can run %s", name, strings.Join(ISAs(), ", "))
}
