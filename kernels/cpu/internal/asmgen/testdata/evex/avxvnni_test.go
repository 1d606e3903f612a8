package cpu

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/cpuid/v2"
)

// The table of isa_amd64.go: AVX2's but for the products of integers.
func init() {
	k := available[slices.IndexFunc(available, func(k isa) bool { return k.name == "avx2" })]
	k.name, k.intKernels, k.attentionKernels, k.peak = "avxvnni", intAVXVNNI, attentionAVXVNNI, peakAVXVNNI
	if !slices.ContainsFunc(available, func(has isa) bool { return has.name == k.name }) {
		available = append(available, k)
	}
}

// vpdpbusd defines the instruction: to each int32 it adds four products, and wraps.
func vpdpbusd(sum *[8]int32, u8 *[32]uint8, s8 *[32]int8) {
	for i := range u8 {
		sum[i/4] += int32(u8[i]) * int32(s8[i])
	}
}

//go:noescape
func vpdpbusdEVEX(sum *[8]int32, u8 *[32]uint8, s8 *[32]int8)

//go:noescape
func vpdpbusdVEX(sum *[8]int32, u8 *[32]uint8, s8 *[32]int8)

func TestVPDPBUSD(t *testing.T) {
	encodings := map[string]func(*[8]int32, *[32]uint8, *[32]int8){"EVEX": vpdpbusdEVEX}
	if cpuid.CPU.Supports(cpuid.AVXVNNI) {
		encodings["VEX"] = vpdpbusdVEX
	}
	r := rand.New(rand.NewPCG(1, 1))
	for name, instruction := range encodings {
		for range 10_000 {
			var sum [8]int32
			var u8 [32]uint8
			var s8 [32]int8
			for i := range sum {
				sum[i] = pick(r, int32(r.Uint32()), math.MaxInt32, math.MinInt32)
			}
			for i := range u8 {
				u8[i], s8[i] = pick(r, uint8(r.Uint32()), 0, 255), pick(r, int8(r.Uint32()), 127, -128)
			}
			got, want := sum, sum
			instruction(&got, &u8, &s8)
			vpdpbusd(&want, &u8, &s8)
			if got != want {
				t.Fatalf("%s: %v + %v · %v = %v, want %v", name, sum, u8, s8, got, want)
			}
		}
	}
}
