package train

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/nn"
)

// compatGate is from where on the released code of LLM-QAT stops gradients.
const compatGate = 2

// checkCompat returns an error that names the first setting that the released code does
// not have.
func (c *Config) checkCompat() error {
	for _, s := range []struct {
		name        string
		found, want any
	}{
		{"KV scheme", c.Quantization.KVScheme, quant.KVToken},
		{"bits of lm_head", c.Quantization.LMHeadBits, 16},
		{"gate", c.Gate, float64(compatGate)},
		{"clip of the gradient", c.Clip, 1.0},
		{"soft", c.Soft, 1.0},
		{"attention loss", c.AttentionLoss, 0.0},
		{"hidden loss", c.HiddenLoss, 0.0},
		{"learned steps", c.LearnSteps, false},
		{"start", c.Start, ""},
		{"stored logits", c.Logits, ""},
	} {
		if s.found != s.want {
			return fmt.Errorf("compat: %s is %#v, the released code has %#v: leave that setting or compat out", s.name, s.found, s.want)
		}
	}
	return nil
}

// lossWeight is what each token's loss counts in the step of b: together they make a
// mean over tokens or, as the released code has it, a sum over tokens per window.
func (c *Config) lossWeight(b nn.Batch) float32 {
	if c.Compat {
		return float32(1 / float64(len(b)))
	}
	return float32(1 / float64(b.Targets()))
}
