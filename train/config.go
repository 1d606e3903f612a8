package train

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/train/nn"
	"github.com/llmqat/llmqat/train/ptq"
)

// Config is all that decides a run's numbers: two runs of one Config have the same
// weights, bit for bit, on any number of threads.
type Config struct {
	Quantization qat.Quantization `json:"quantization"`

	Start string `json:"start,omitempty"` // training-free methods that the student begins with, as ptq.Parse has them

	Teacher string `json:"teacher,omitempty"` // SHA-256 of the teacher's files
	Logits  string `json:"logits,omitempty"`  // SHA-256 of the file of the teacher's likeliest tokens (format/topk) that takes its place in training
	TopK    int    `json:"top_k,omitempty"`   // which has so many of them
	Data    string `json:"data"`              // SHA-256 of the windows (Data.Hash), which Run sets
	Held    string `json:"held"`              // the same of those to evaluate on

	Length int `json:"length"` // tokens of a window of text, at most
	Batch  int `json:"batch"`  // windows of a step
	Pass   int `json:"pass"`   // windows that go through the model at a time
	Steps  int `json:"steps"`

	LearningRate float64 `json:"learning_rate"`
	Warmup       int     `json:"warmup"` // steps
	Beta1        float64 `json:"beta1"`
	Beta2        float64 `json:"beta2"`
	Epsilon      float64 `json:"epsilon"`
	WeightDecay  float64 `json:"weight_decay"`
	Clip         float64 `json:"clip"` // of the gradient's norm; 0: none

	Soft float64 `json:"soft"` // of the loss, the part that is KL to the teacher; the rest is the data's own tokens
	// What weights a difference of attention and of hidden states from the teacher's has
	// beside that in the loss, a token: nn.Loss says of what.
	AttentionLoss float64 `json:"attention_loss,omitempty"`
	HiddenLoss    float64 `json:"hidden_loss,omitempty"`

	LearnSteps bool    `json:"learn_steps"`      // LSQ
	StepsRate  float64 `json:"steps_rate"`       // learning rate of steps, as a part of the weights'
	Gate       float64 `json:"gate,omitempty"`   // gradients of what is rounded are 0 where it is this or more from 0; 0: none are
	Compat     bool    `json:"compat,omitempty"` // the formulas of the released code
	Recompute  bool    `json:"recompute"`

	Seed      uint64 `json:"seed"`
	EvalEvery int    `json:"eval_every"` // steps; 0: at the end alone
	SaveEvery int    `json:"save_every"` // steps; 0: at the end alone
	// EvalWindows is how many of the held-out windows an evaluation takes, the first; 0: all.
	EvalWindows int `json:"eval_windows,omitempty"`
	Keep        int `json:"keep"` // checkpoints beside the best
}

// leastStep is what learned steps do not fall below.
const leastStep = 1e-5

// Resolve returns c with defaults for a model of shape m in place of zeros. Its learning
// rate has none: see DefaultLearningRate.
func (c Config) Resolve(m *format.Config) (Config, error) {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	deff := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.Length, DefaultLength(m))
	def(&c.Batch, max(1, 2048/c.Length))
	def(&c.Pass, c.Batch)
	def(&c.Steps, 600)
	deff(&c.Beta1, 0.9)
	deff(&c.Beta2, 0.999)
	deff(&c.Epsilon, 1e-8)
	deff(&c.StepsRate, 0.1)
	def(&c.Keep, 2)
	if c.Compat {
		deff(&c.Gate, compatGate)
	}
	return c, c.check(m)
}

// DefaultLength is how many tokens a window has at most.
func DefaultLength(m *format.Config) int { return min(m.MaxPositionEmbeddings, 2048) }

func (c *Config) check(m *format.Config) error {
	if err := c.Quantization.Check(); err != nil {
		return err
	}
	for _, v := range []struct {
		name     string
		v        float64
		from, to float64
	}{
		{"length", float64(c.Length), 2, float64(m.MaxPositionEmbeddings)},
		{"batch", float64(c.Batch), 1, 1e6},
		{"pass", float64(c.Pass), 1, float64(c.Batch)},
		{"steps", float64(c.Steps), 1, 1e12},
		{"learning rate", c.LearningRate, 1e-12, 1},
		{"warmup", float64(c.Warmup), 0, float64(c.Steps)},
		{"beta1", c.Beta1, 0, 0.9999999},
		{"beta2", c.Beta2, 0, 0.9999999},
		{"epsilon", c.Epsilon, 0, 1},
		{"weight decay", c.WeightDecay, 0, 1},
		{"clip", c.Clip, 0, math.MaxFloat32},
		{"soft", c.Soft, 0, 1},
		{"top k", float64(c.TopK), 0, float64(m.VocabSize)},
		{"attention loss", c.AttentionLoss, 0, 1e6},
		{"hidden loss", c.HiddenLoss, 0, 1e6},
		{"steps' rate", c.StepsRate, 0, 100},
		{"gate", c.Gate, 0, math.MaxFloat32},
		{"eval every", float64(c.EvalEvery), 0, 1e12},
		{"eval windows", float64(c.EvalWindows), 0, 1e12},
		{"save every", float64(c.SaveEvery), 0, 1e12},
		{"keep", float64(c.Keep), 1, 1e6},
	} {
		if !(v.v >= v.from && v.v <= v.to) {
			return fmt.Errorf("%s is %v, want %v to %v", v.name, v.v, v.from, v.to)
		}
	}
	if c.LearnSteps && c.Quantization.Bits.W == 16 {
		return fmt.Errorf("weights of 16 bits have no steps to learn: leave learned steps (--lsq) out")
	}
	if c.TopK > 0 && (c.AttentionLoss > 0 || c.HiddenLoss > 0) {
		return fmt.Errorf("attention loss is %v and hidden loss %v, want 0 where the teacher's logits are stored: of attention and hidden states nothing is", c.AttentionLoss, c.HiddenLoss)
	}
	if c.Start != "" {
		if start, err := ptq.Parse(c.Start); err != nil {
			return fmt.Errorf("start: %w", err)
		} else if start.Hadamard != ptq.RotateNone && c.HiddenLoss > 0 {
			return fmt.Errorf("hidden loss is %v, want 0 where the student starts by %s: its hidden states are rotated and the teacher's are not", c.HiddenLoss, c.Start)
		}
	}
	if c.Compat {
		return c.checkCompat()
	}
	return nil
}

// loss is that of a batch, each pass of which adds its part.
func (c *Config) loss(b nn.Batch) nn.Loss {
	return nn.Loss{
		Weight: c.lossWeight(b), Soft: float32(c.Soft),
		Attention: float32(c.AttentionLoss / float64(b.Tokens())), Hidden: float32(c.HiddenLoss / float64(b.Tokens())),
	}
}

// rate is the learning rate of a step counted from 0: a linear warm-up, then a cosine
// to 0.
func (c *Config) rate(step int) float64 {
	if step < c.Warmup {
		return c.LearningRate * float64(step+1) / float64(c.Warmup)
	}
	return c.LearningRate * 0.5 * (1 + math.Cos(math.Pi*float64(step-c.Warmup)/float64(c.Steps-c.Warmup)))
}
