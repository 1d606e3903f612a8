//go:build !purego

package cpu

import "github.com/klauspost/cpuid/v2"

//go:generate go test ./internal/asmgen -generate

func init() {
	if cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3, cpuid.F16C) {
		available = append(available, isa{"avx2", intAVX2, floatAVX2, rowAVX2, attentionAVX2})
	}
}
