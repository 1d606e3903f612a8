package train

import (
	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/train/nn"
)

// Plan is what a run will take, before it is taken.
type Plan struct {
	Teacher    nn.Bytes
	Student    nn.Bytes
	Moments    int64 // bytes of AdamW's
	Data       int64 // bytes of the windows
	StepTokens int   // at most
	// MACs of a step: forward of both models, unless the teacher's is stored, and twice the
	// student's backward.
	MACs float64
}

// Bytes is the sum.
func (p *Plan) Bytes() int64 {
	n := p.Moments + p.Data
	for _, b := range []nn.Bytes{p.Teacher, p.Student} {
		n += b.Weights + b.Gradients + b.Rounded + b.Activations
	}
	return n
}

// PlanOf says what a run of c on a model of shape m takes, with windows of so many tokens in
// all, of which the longest has longest.
func PlanOf(c Config, m *format.Config, tokens, longest int) (Plan, error) {
	c.Length = min(c.Length, longest)
	o := nn.Options{Quantization: floats(), MaxTokens: c.Pass * c.Length, MaxLength: c.Length, KeepMaps: c.AttentionLoss > 0}
	var p Plan
	var err error
	if p.Teacher, err = nn.BytesOf(m, o); err != nil {
		return p, err
	}
	o.KeepMaps, o.Quantization, o.Train, o.LearnSteps, o.Gate, o.Recompute = false, c.Quantization, true, c.LearnSteps, c.Gate, c.Recompute
	o.TopK, o.Compat = c.TopK, c.Compat
	if p.Student, err = nn.BytesOf(m, o); err != nil {
		return p, err
	}
	p.Moments = 2 * p.Student.Weights
	p.Data = 4 * int64(tokens)
	p.StepTokens = c.Batch * c.Length
	scores := m.ScoreMACs(float64(c.Length) / 2) // causality leaves half
	perToken := float64(m.MACs()) + 2*scores
	passes := 4.0
	if c.Recompute {
		passes++
	}
	if c.TopK > 0 {
		passes--
	}
	p.MACs = passes * perToken * float64(p.StepTokens)
	if c.AttentionLoss > 0 { // scores of both models once more, and the gradient of the student's q and k
		p.MACs += 4 * scores * float64(p.StepTokens)
	}
	return p, nil
}
