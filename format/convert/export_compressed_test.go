package convert

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/hf"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/quant"
)

// What compressed-tensors has of integers is read back as they are, lm_head as its floats are.
func TestCompressed(t *testing.T) {
	for _, c := range []struct {
		bits   string
		format string
		uneven int // matrices of two layers: rows have 36 inputs, 70 of down_proj
	}{{"4-8-4", "pack-quantized", 14}, {"8-8-8", "int-quantized", 0}, {"8-16-16", "pack-quantized", 2}} {
		o := Options{Bits: bits(t, c.bits), LMHeadBits: 8, Float: qat.Float16}
		// Scales twice as large as MinMax's, which would not find them again.
		o.Trained.Scales = func(name string) []float32 {
			if !strings.Contains(name, "layers") {
				return nil
			}
			_, hi := quant.WeightRange(o.Bits.W)
			return slices.Repeat([]float32{2.1 / float32(hi)}, outputs(tiny(), name))
		}
		f := exported(t, true, o)
		for _, float := range []string{qat.Float32, qat.Float16} {
			dir := filepath.Join(t.TempDir(), "m")
			off, err := Compressed(context.Background(), f, dir, float, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(off.Uneven) != c.uneven {
				t.Errorf("%s: rows of %q are no whole int32s, want %d", c.bits, off.Uneven, c.uneven)
			}
			config, err := os.ReadFile(filepath.Join(dir, "config.json"))
			if err != nil || !strings.Contains(string(config), `"format": "`+c.format+`"`) {
				t.Errorf("%s: no %s in %s (%v)", c.bits, c.format, config, err)
			}
			got, err := hf.Open(dir, "")
			if err != nil {
				t.Fatal(err)
			}
			sameModel(t, got, f.Source(), func(s format.TensorSpec, got, want float32) bool {
				return got == want || s.LMHead && float == qat.Float16 && got == quant.Float16To32(quant.Float16(want))
			})

			// Quantized again it is the same file, but for what it was made of and, where lm_head's floats were rounded, its scales.
			names, again := differences(t, f, got)
			if float == qat.Float16 {
				names = slices.DeleteFunc(names, func(name string) bool { return name == format.LMHeadName+qat.ScaleSuffix })
				found := scales(again, format.LMHeadName)
				for i, want := range scales(f, format.LMHeadName) {
					if got := found[i]; math.Abs(float64(got-want)) > float64(want)*(1./2048+1./(1<<22)) { // float32's roundings
						t.Errorf("%s: scale %d of lm_head is %v after a round trip, want %v", c.bits, i, got, want)
					}
				}
			}
			if len(names) > 0 {
				t.Errorf("%s, %s: %q differ after a round trip", c.bits, float, names)
			}
			got.Close()
		}
	}
}

// scales returns those of a quantized tensor's rows.
func scales(f *qat.File, name string) []float32 {
	t, _ := f.Tensor(name)
	s := make([]float32, t.True[0])
	for i := range s {
		s[i] = f.Integers(make([]int8, t.True[1]), t, i)
	}
	return s
}
