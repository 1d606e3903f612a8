package model

import "github.com/llmqat/llmqat/kernels"

// arena is memory that remembers what was taken from it, to give it back at once.
type arena struct {
	kernels.Memory
	taken []kernels.Mem
	bytes int64 // allocated, not imported
}

func (a *arena) Alloc(n int) (kernels.Mem, error) {
	mem, err := a.Memory.Alloc(n)
	if err == nil {
		a.taken, a.bytes = append(a.taken, mem), a.bytes+int64(n)
	}
	return mem, err
}

func (a *arena) Import(b []byte, copied func(int64)) (kernels.Mem, error) {
	mem, err := a.Memory.Import(b, copied)
	if err == nil {
		a.taken = append(a.taken, mem)
	}
	return mem, err
}

func (a *arena) free() {
	for _, mem := range a.taken {
		a.Memory.Free(mem)
	}
	a.taken = nil
}

// nowhere is memory that is never used, to measure what would be.
type nowhere struct{ kernels.Memory }

func (nowhere) Alloc(int) (kernels.Mem, error) { return nil, nil }
