package ptq

import (
	"context"
	"math"
	"slices"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/nn"
)

const (
	awqGrid   = 20  // exponents tried: 0/20 to 19/20
	awqTokens = 512 // that outputs are compared on
)

// AWQ scales the channels of what linear layers read by mean|x|^α, for each group of
// layers with the α of a grid that changes their outputs the least (arXiv:2306.00978):
// Σ(x·wᵀ - x̂·ŵᵀ)², weights rounded to nearest. x is rounded too where bits.A < 16,
// which AWQ, with its float activations, has no reason to do.
func (m *Model) AWQ(ctx context.Context, c *Calibration, bits quant.Bits) error {
	return m.calibrate(ctx, c, "awq", float32s, func(r *runner, layer int) error {
		var seen [len(groups)]sample
		every := (r.tokens() + awqTokens - 1) / awqTokens
		if err := r.run(ctx, true, func(in nn.Inputs) error {
			for i, g := range groups {
				x := g.reads(in)
				seen[i].add(r.values(x), x.Cols, every)
			}
			return nil
		}); err != nil {
			return err
		}
		for i := range groups {
			if err := ctx.Err(); err != nil {
				return err
			}
			s, err := m.searchScales(r.c.Device, layer, &groups[i], &seen[i], bits)
			if err != nil {
				return err
			}
			m.scale(layer, &groups[i], s)
		}
		return nil
	})
}

// sample is some of the tokens of an activation, and the size of all.
type sample struct {
	rows []float32 // [n, cols]
	sum  []float64 // Σ|x| of each column
	seen int
}

// add looks at x's rows, and keeps each every-th of all.
func (s *sample) add(x []float32, cols, every int) {
	if s.sum == nil {
		s.sum = make([]float64, cols)
	}
	for ; len(x) > 0; x = x[cols:] {
		for j, v := range x[:cols] {
			s.sum[j] += math.Abs(float64(v))
		}
		if s.seen%every == 0 {
			s.rows = append(s.rows, x[:cols]...)
		}
		s.seen++
	}
}

// searchScales returns the best of the grid's scales for a group's channels.
func (m *Model) searchScales(dev kernels.TrainDevice, layer int, g *group, x *sample, bits quant.Bits) ([]float64, error) {
	n, of := m.channels(layer, g)
	var scales [awqGrid][]float64
	for i := range scales {
		scales[i] = awqScales(x.sum, n, of, float64(i)/awqGrid)
	}
	var errs [awqGrid]float64
	for _, tail := range g.to {
		w := m.of(layer, tail)
		o, err := newOutputs(dev, x.rows, w, bits)
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
	return scales[slices.Index(errs[:], slices.Min(errs[:]))], nil
}

// awqScales returns (Σ|x|)^α of the channels, divided by √(largest·smallest): a factor
// that all channels share changes nothing but keeps numbers near 1.
func awqScales(sum []float64, n int, of []int, alpha float64) []float64 {
	total, s := make([]float64, n), make([]float64, n)
	for j, v := range sum {
		total[of[j]] += v
	}
	least, most := math.Inf(1), 0.0
	for i, v := range total {
		s[i] = 1
		if v > 0 {
			s[i] = math.Pow(v, alpha)
			least, most = min(least, s[i]), max(most, s[i])
		}
	}
	for i, v := range total {
		if v > 0 {
			s[i] /= math.Sqrt(least * most)
		}
	}
	return s
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
	d.WeightSteps(o.steps, o.rounded, o.bits.W)
	d.FakeQuantizeWeight(o.rounded, o.rounded, o.steps, o.bits.W)
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
