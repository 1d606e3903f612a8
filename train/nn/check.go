package nn

import "github.com/llmqat/llmqat/kernels"

// GradCheck is one parameter of CheckGradients.
type GradCheck struct {
	Param *Param
	// Ratio of what the loss grows by along the gradient to the gradient's square: 1, but
	// for the loss's own rounding and curvature, a few parts in a hundred.
	Ratio float64
}

// CheckGradients compares each parameter's gradient of a loss on b with differences of
// that loss itself: the weights move along their gradient by so much that the loss changes
// by a thousandth, there and back. The model must not round: what is passed straight
// through rounding is no slope. Its forward pass is the served one as always, of 16-16-16
// in float32. Its weights are left as they were.
func (m *Model) CheckGradients(teacher *Model, b Batch, l Loss) ([]GradCheck, error) {
	m.Prepare()
	m.ClearGrads()
	if _, err := m.Step(teacher, b, l); err != nil {
		return nil, err
	}
	loss := func() (float64, error) {
		m.Prepare()
		s, err := m.Evaluate(teacher, b, l)
		return l.Of(s), err
	}
	base, err := loss()
	if err != nil {
		return nil, err
	}
	var list []GradCheck
	for _, p := range m.params {
		w, g := make([]float32, p.W.N), make([]float32, p.W.N)
		kernels.Download(m.dev, w, p.W.Buf)
		kernels.Download(m.dev, g, p.Grad.Buf)
		square := 0.0
		for _, v := range g {
			square += float64(v) * float64(v)
		}
		moved := make([]float32, len(w))
		at := func(h float64) (float64, error) {
			for i := range moved {
				moved[i] = w[i] + float32(h*float64(g[i]))
			}
			kernels.Upload(m.dev, p.W.Buf, moved)
			return loss()
		}
		h := 0.001 * base / square
		up, err := at(h)
		if err != nil {
			return nil, err
		}
		down, err := at(-h)
		if err != nil {
			return nil, err
		}
		kernels.Upload(m.dev, p.W.Buf, w)
		list = append(list, GradCheck{p, (up - down) / (2 * h) / square})
	}
	return list, m.dev.Sync()
}
