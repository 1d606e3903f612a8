package nn

import (
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Param is a matrix that is trained, a vector as one row. Where several of a model's
// tensors read the same input, their rows stand in one matrix.
type Param struct {
	Tensors []Part
	W       kernels.Floats
	Grad    kernels.Floats // empty where the model is not trained
	Of      *Param         // set where these are the steps of its rows; then there are no Tensors
}

// Part is one of a model's tensors: rows [From, To) of a Param.
type Part struct {
	Name     string // Hugging Face's
	From, To int
}

// linear is a linear layer's weight with what it is rounded to.
type linear struct {
	*Param
	bits     int              // 16: not rounded
	hat      kernels.Floats   // what the layer multiplies by
	packed   []kernels.Weight // the same as a .qat file holds it, where the forward pass is the served one: one
	step     kernels.Buf[float32]
	steps    *Param // the same as a parameter, where steps are learned
	kept     bool   // steps are learned or given: they do not follow from the weights
	released bool   // there are no steps: ŵ is quant.Released
}

// prepare rounds the weight as it is now.
func (l *linear) prepare(d kernels.TrainDevice) {
	switch {
	case l.bits == 16:
	case l.released:
		d.FakeQuantizeReleased(l.hat, l.W, l.bits)
	default:
		if !l.kept {
			d.WeightSteps(l.step, l.W, l.bits)
		}
		d.FakeQuantizeWeight(l.hat, l.W, l.step, l.bits)
	}
	if l.packed != nil && l.packed[0].Type != kernels.Float32 { // which is W itself
		d.PackWeight(l.packed[0], l.W)
	}
}

// forward sets y [T, Out] to x · ŵᵀ, or adds that to it.
func (l *linear) forward(d kernels.TrainDevice, y kernels.Floats, x kernels.Rows, add bool) {
	switch {
	case l.packed == nil:
		d.MatMul(y, x.F, l.hat, kernels.MatMulNT, add)
	case add:
		d.LinearAdd(y, x, l.packed[0])
	default:
		d.Linear(y, x, l.packed...)
	}
}

// table is the weight as Embed reads it.
func (l *linear) table() kernels.Weight {
	if l.packed != nil {
		return l.packed[0]
	}
	return floatsOf(l.W)
}

// backward sets dx to the gradient of x, given that of y, and adds to the weight's.
func (l *linear) backward(d kernels.TrainDevice, dx, dy, x kernels.Floats) {
	d.MatMul(dx, dy, l.hat, kernels.MatMulNN, false)
	d.MatMul(l.Grad, dy, x, kernels.MatMulTN, true)
}

// finish turns the gradient of ŵ into that of w, once all tokens have added to it.
func (l *linear) finish(d kernels.TrainDevice, gate float32) {
	if l.steps != nil {
		d.FakeQuantizeWeightGrad(l.Grad, vector(l.steps.Grad), l.W, l.step, l.bits)
	}
	if gate > 0 && l.bits < 16 {
		d.GateGrad(l.Grad, l.W, gate)
	}
}

// norm is an RMSNorm's weight.
type norm struct {
	*Param
	eps float32
}

// forward sets out to the norm of x.
func (n *norm) forward(d kernels.TrainDevice, out, x kernels.Floats) {
	d.RMSNorm(asRows(out), x, vector(n.W), n.eps)
}

// backward adds to dx and the weight's gradient.
func (n *norm) backward(d kernels.TrainDevice, dx, dy, x kernels.Floats) {
	d.RMSNormGrad(dx, vector(n.Grad), dy, x, vector(n.W), n.eps)
}

// asRows is f as operators of inference write it.
func asRows(f kernels.Floats) kernels.Rows {
	return kernels.Rows{Bits: 16, N: f.Rows, Cols: f.Cols, Stride: f.Stride, F: f}
}

// floatsOf is a matrix as a weight of floats.
func floatsOf(f kernels.Floats) kernels.Weight {
	return kernels.Weight{
		Type: kernels.Float32, Out: f.Rows, In: f.Cols,
		Data: kernels.Buf[uint8]{Mem: f.Mem, Off: f.Off, N: f.Rows * quant.Align(f.Cols) * 4},
	}
}

// vector is the elements of a matrix of one row.
func vector(f kernels.Floats) kernels.Buf[float32] { return f.Slice(0, f.Cols) }
