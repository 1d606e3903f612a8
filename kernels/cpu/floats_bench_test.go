package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/llmqat/llmqat/kernels"
)

// BenchmarkFloatLinear runs the layers of a 1.1B model with float rows, walking
// through copies of the weights that no cache holds together. Beside each speed
// stands what the workers reach at most in the same minute.
func BenchmarkFloatLinear(b *testing.B) {
	layers := []struct {
		name    string
		in, out int
	}{{"qkv", 2048, 2560}, {"o", 2048, 2048}, {"gate_up", 2048, 11264}, {"down", 5632, 2048}}
	types := []kernels.WeightType{kernels.Float16, kernels.BFloat16, kernels.Float32, kernels.Int8, kernels.Int4}
	for _, k := range available[1:] {
		for _, workers := range []int{1, 2} {
			for _, typ := range types {
				for _, l := range layers {
					for _, tokens := range []int{1, 2, 4, 8, 16, 64, 512} {
						name := fmt.Sprintf("isa=%s/workers=%d/w=%v/layer=%s/tokens=%d", k.name, workers, typ, l.name, tokens)
						b.Run(name, func(b *testing.B) {
							d := must(New(workers, k.name))
							defer d.Close()
							benchFloatLinear(b, d, typ, l.in, l.out, tokens)
						})
					}
				}
			}
		}
	}
}

func benchFloatLinear(b *testing.B, d *Device, typ kernels.WeightType, in, out, tokens int) {
	rng := rand.New(rand.NewPCG(1, 1))
	x, _ := kernels.NewRows(d, tokens, in, 16)
	for i, f := 0, view(x.F.Buf); i < len(f); i++ {
		f[i] = float32(rng.NormFloat64())
	}
	y, _ := kernels.NewFloats(d, tokens, out)
	size := out * typ.RowBytes(in)
	copies := 256 << 20 / size
	data, _ := kernels.Alloc[uint8](d, copies*size)
	all := view(data)
	fillWeights(rng, typ, "normal", all[:1<<16])
	for i := 1 << 16; i < len(all); i *= 2 {
		copy(all[i:], all[:i])
	}
	scale, _ := kernels.Alloc[float32](d, out)
	w := make([]kernels.Weight, copies)
	for i := range w {
		w[i] = kernels.Weight{Type: typ, Data: data.Slice(i*size, (i+1)*size), Out: out, In: in}
		if typ.Quantized() {
			w[i].Scale = scale
		}
	}
	read, fma := d.ReadBandwidth(256<<20), d.Float32Peak()
	n := 0
	for b.Loop() {
		d.Linear(y, x, w[n%copies])
		n++
	}
	perSecond := float64(n) / b.Elapsed().Seconds() / 1e9
	b.ReportMetric(float64(size)*perSecond, "GB/s")
	b.ReportMetric(read/1e9, "peakGB/s")
	b.ReportMetric(float64(in*out*tokens)*perSecond, "GMAC/s")
	b.ReportMetric(fma/1e9, "peakGMAC/s")
}
