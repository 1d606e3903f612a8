package cpu

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Weights are packed as package quant has them, in memory that was used before, and those
// that the type cannot hold are named by their row.
func TestPackWeight(t *testing.T) {
	eachTrainCase(t, func(c *trainCase) [][]float32 {
		const rows, cols = 7, 77
		x, step := c.floats(rows, cols), c.vector(rows)
		copy(view(x.Buf)[x.Stride:], []float32{1e-9, -1e-7, 65504, 65519, -65519}) // what float16 rounds to 0, a subnormal and its ends
		clear(view(x.Buf)[3*x.Stride:][:cols])
		for _, typ := range []kernels.WeightType{kernels.Int4, kernels.Int8, kernels.Float16, kernels.BFloat16, kernels.Float32} {
			w := kernels.Weight{Type: typ, Out: rows, In: cols, Data: must(kernels.Alloc[uint8](c.d, rows*typ.RowBytes(cols)))}
			if typ.Quantized() {
				w.Scale = step
				c.d.WeightSteps(step, x, map[kernels.WeightType]int{kernels.Int4: 4, kernels.Int8: 8}[typ])
				view(step)[2] *= 0.6 // the range ends before the weights do
			}
			data := view(w.Data)
			for i := range data {
				data[i] = 0xa5
			}
			c.d.PackWeight(w, x)
			if err := c.d.Sync(); err != nil {
				t.Fatal(err)
			}
			for i := range rows {
				got, want := data[i*typ.RowBytes(cols):][:typ.RowBytes(cols)], make([]uint8, typ.RowBytes(cols))
				row, q := dense(x)[i*cols:][:cols], make([]int8, cols)
				switch typ {
				case kernels.Int4:
					quant.WeightRowScaled(q, row, view(step)[i], -8, 7)
					quant.PackInt4(want, q)
				case kernels.Int8:
					quant.WeightRowScaled(q, row, view(step)[i], -127, 127)
					copy(signed(want), q)
				}
				for j, v := range row {
					switch typ {
					case kernels.Float16:
						binary.LittleEndian.PutUint16(want[2*j:], quant.Float16(v))
					case kernels.BFloat16:
						binary.LittleEndian.PutUint16(want[2*j:], quant.BFloat16(v))
					case kernels.Float32:
						binary.LittleEndian.PutUint32(want[4*j:], math.Float32bits(v))
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("row %d as %v is %x, want %x", i, typ, got, want)
				}
			}
			for _, bad := range []struct {
				v    float32
				only kernels.WeightType // 0: all
			}{{float32(math.NaN()), 0}, {float32(math.Inf(-1)), 0}, {65520, kernels.Float16}, {math.MaxFloat32, kernels.BFloat16}} {
				if bad.only != 0 && bad.only != typ {
					continue
				}
				was := view(x.Buf)[5*x.Stride+70]
				view(x.Buf)[5*x.Stride+70] = bad.v
				c.d.PackWeight(w, x)
				if err := c.d.Sync(); !errors.Is(err, quant.ErrNotFinite) || !strings.Contains(err.Error(), "row 5") {
					t.Errorf("%v in row 5 as %v: %v", bad.v, typ, err)
				}
				view(x.Buf)[5*x.Stride+70] = was
			}
		}
		return nil
	})
}
