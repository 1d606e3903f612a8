package cuda

import "github.com/llmqat/llmqat/kernels"

// maxParts is how many weights one launch takes (linear.h): q, k and v.
const maxParts = 3

// Linear implements kernels.Device.
func (d *Device) Linear(out kernels.Floats, x kernels.Rows, w ...kernels.Weight) {
	kernels.CheckLinear("cuda: Linear", out, x, w)
	d.linear("Linear", out, x, w, false)
}

// LinearAdd implements kernels.Device.
func (d *Device) LinearAdd(out kernels.Floats, x kernels.Rows, w kernels.Weight) {
	weights := []kernels.Weight{w}
	kernels.CheckLinear("cuda: LinearAdd", out, x, weights)
	d.linear("LinearAdd", out, x, weights, true)
}

// linear queues the products with all weights: a launch for each run of up to maxParts
// of one type.
func (d *Device) linear(name string, out kernels.Floats, x kernels.Rows, w []kernels.Weight, add bool) {
	l := linearParams{out: at(out.Buf), stride: uint64(out.Stride)}
	var failed, op uint64
	if x.Bits == 16 {
		failed, op = d.check(name, errProduct)
	}
	if add {
		l.add = 1
	}
	for len(w) > 0 {
		n := 1
		for n < min(len(w), maxParts) && w[n].Type == w[0].Type {
			n++
		}
		l.weights, w = w[:n], w[n:]
		switch {
		case x.N == 0 || l.rows() == 0:
		case x.Bits == 16:
			d.linearFloat(l, x, failed, op)
		default:
			d.linearInt(l, x)
		}
		l.column += uint64(l.rows())
	}
}

// linearParams are what the kernels of linear layers take first (linear.h): up to
// maxParts weights of one type, and where their outputs go, from column of out on.
type linearParams struct {
	out, stride, column, add uint64
	weights                  []kernels.Weight
}

// rows is the number of outputs for a token.
func (l *linearParams) rows() (n int) {
	for i := range l.weights {
		n += l.weights[i].Out
	}
	return n
}

// ctas is the number of CTAs for the weights where each does so many rows of one.
func (l *linearParams) ctas(rows int) (n uint32) {
	for i := range l.weights {
		n += ceil(l.weights[i].Out, rows)
	}
	return n
}

// launchLinear queues a kernel that takes LINEAR_PARAMETERS and others.
func (d *Device) launchLinear(name string, s shape, l *linearParams, others ...uint64) {
	var words [4 + 3*maxParts + 8]uint64
	params := append(words[:0], l.out, l.stride, l.column, l.add)
	for i := range maxParts {
		var w kernels.Weight
		if i < len(l.weights) {
			w = l.weights[i]
		}
		params = append(params, at(w.Data), at(w.Scale), uint64(w.Out))
	}
	d.launch(name, s, append(params, others...)...)
}

// ceil is n / per, rounded up.
func ceil(n, per int) uint32 { return uint32((n + per - 1) / per) }
