package ptq

import (
	"slices"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// bestScales returns those of a group's channels that change its layers' outputs the
// least, the first of equals.
func (m *Model) bestScales(dev kernels.TrainDevice, layer int, g *group, x *sample, bits quant.Bits, scales [][]float64) ([]float64, error) {
	_, of := m.channels(layer, g)
	errs := make([]float64, len(scales))
	for _, tail := range g.to {
		o, err := newOutputs(dev, x.rows, m.of(layer, tail), bits)
		if err == nil {
			for i, s := range scales {
				errs[i] += o.change(s, of)
			}
			err = dev.Sync()
		}
		o.free()
		if err != nil {
			return nil, err
		}
	}
	return scales[slices.Index(errs, slices.Min(errs))], nil
}

// outputs compares a linear layer's outputs with those of rounded operands.
type outputs struct {
	dev                        kernels.TrainDevice
	bits                       quant.Bits
	x, w                       []float32
	minus, rounded, want, diff kernels.Floats // [n, In], [Out, In], twice [n, Out]
	steps, squares             kernels.Buf[float32]
	scaled, sums               []float32
}

func newOutputs(dev kernels.TrainDevice, x []float32, w *matrix, bits quant.Bits) (*outputs, error) {
	o := &outputs{dev: dev, bits: bits, x: x, w: w.v, scaled: make([]float32, max(len(x), len(w.v)))}
	n := len(x) / w.cols
	o.sums = make([]float32, n)
	for _, f := range []struct {
		*kernels.Floats
		rows, cols int
	}{{&o.minus, n, w.cols}, {&o.rounded, w.rows, w.cols}, {&o.want, n, w.rows}, {&o.diff, n, w.rows}} {
		var err error
		if *f.Floats, err = kernels.NewFloats(dev, f.rows, f.cols); err != nil {
			return o, err
		}
	}
	var err error
	if o.steps, err = kernels.Alloc[float32](dev, w.rows); err != nil {
		return o, err
	}
	if o.squares, err = kernels.Alloc[float32](dev, n); err != nil {
		return o, err
	}
	kernels.UploadFloats(dev, o.minus, x)
	kernels.UploadFloats(dev, o.rounded, w.v)
	dev.MatMul(o.want, o.minus, o.rounded, kernels.MatMulNT, false)
	return o, nil
}

// change returns Σ(x·wᵀ - x̂·ŵᵀ)², where x/s and w·s are rounded.
func (o *outputs) change(s []float64, of []int) (sum float64) {
	d, cols := o.dev, o.rounded.Cols
	for j, v := range o.x {
		o.scaled[j] = float32(-float64(v) / s[of[j%cols]])
	}
	kernels.UploadFloats(d, o.minus, o.scaled)
	if o.bits.A < 16 {
		d.FakeQuantize(o.minus, o.minus, 1, o.bits.A)
	}
	for j, v := range o.w {
		o.scaled[j] = float32(float64(v) * s[of[j%cols]])
	}
	kernels.UploadFloats(d, o.rounded, o.scaled)
	if o.bits.W < 16 {
		d.WeightSteps(o.steps, o.rounded, o.bits.W)
		d.FakeQuantizeWeight(o.rounded, o.rounded, o.steps, o.bits.W)
	}
	d.Copy(o.diff, o.want)
	d.MatMul(o.diff, o.minus, o.rounded, kernels.MatMulNT, true)
	d.RowSquares(o.squares, o.diff)
	kernels.Download(d, o.sums, o.squares)
	for _, v := range o.sums {
		sum += float64(v)
	}
	return sum
}

func (o *outputs) free() {
	for _, m := range []kernels.Mem{o.minus.Mem, o.rounded.Mem, o.want.Mem, o.diff.Mem, o.steps.Mem, o.squares.Mem} {
		if m != nil {
			o.dev.Free(m)
		}
	}
}
