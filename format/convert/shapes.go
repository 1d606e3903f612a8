package convert

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/llmqat/llmqat/format"
)

// Shape returns the config of a well-known model, as its config.json has it.
func Shape(name string) (format.Config, error) {
	c, ok := shapes[strings.ToLower(name)]
	if !ok {
		return c, fmt.Errorf("shape %q: want one of %s", name, strings.Join(Shapes(), ", "))
	}
	c.EOSTokenIDs = slices.Clone(c.EOSTokenIDs)
	return c, nil
}

// Shapes lists the names that Shape knows.
func Shapes() []string { return slices.Sorted(maps.Keys(shapes)) }

// The rows are hidden, intermediate, layers, heads, KV heads, context and eps.
var shapes = map[string]format.Config{
	"stories260k":    llama(64, 172, 5, 8, 4, 512, 1e-5, vocab(512), tied),
	"stories3m":      llama(192, 512, 6, 6, 2, 512, 1e-5, vocab(4096), tied),
	"stories15m":     llama(288, 768, 6, 6, 6, 256, 1e-5, tied),
	"stories110m":    llama(768, 2048, 12, 12, 12, 1024, 1e-5, tied),
	"tinyllama-1.1b": llama(2048, 5632, 22, 32, 4, 2048, 1e-5),
	"llama-7b":       llama(4096, 11008, 32, 32, 32, 2048, 1e-6),
	"llama-13b":      llama(5120, 13824, 40, 40, 40, 2048, 1e-6),
	"llama-30b":      llama(6656, 17920, 60, 52, 52, 2048, 1e-6),
	"llama-65b":      llama(8192, 22016, 80, 64, 64, 2048, 1e-5),
	"llama2-7b":      llama(4096, 11008, 32, 32, 32, 4096, 1e-5),
	"llama2-13b":     llama(5120, 13824, 40, 40, 40, 4096, 1e-5),
	"llama2-70b":     llama(8192, 28672, 80, 64, 8, 4096, 1e-5),
	"llama3-8b":      llama(4096, 14336, 32, 32, 8, 8192, 1e-5, llama3),
	"llama3-70b":     llama(8192, 28672, 80, 64, 8, 8192, 1e-5, llama3),
	"llama3.1-8b":    llama(4096, 14336, 32, 32, 8, 131072, 1e-5, llama3, scaled(8)),
	"llama3.1-70b":   llama(8192, 28672, 80, 64, 8, 131072, 1e-5, llama3, scaled(8)),
	"llama3.2-1b":    llama(2048, 8192, 16, 32, 8, 131072, 1e-5, llama3, scaled(32), tied),
	"llama3.2-3b":    llama(3072, 8192, 28, 24, 8, 131072, 1e-5, llama3, scaled(32), tied),
}

func llama(hidden, intermediate, layers, heads, kvHeads, context int, eps float64, more ...func(*format.Config)) format.Config {
	c := format.Config{
		HiddenSize: hidden, IntermediateSize: intermediate, NumHiddenLayers: layers,
		NumAttentionHeads: heads, NumKeyValueHeads: kvHeads, HeadDim: hidden / heads,
		VocabSize: 32000, MaxPositionEmbeddings: context, RMSNormEps: eps, RopeTheta: 10000,
		BOSTokenID: 1, EOSTokenIDs: []int{2},
	}
	for _, f := range more {
		f(&c)
	}
	return c
}

func tied(c *format.Config) { c.TieWordEmbeddings = true }

func vocab(n int) func(*format.Config) { return func(c *format.Config) { c.VocabSize = n } }

func llama3(c *format.Config) {
	c.VocabSize, c.RopeTheta = 128256, 500000
	c.BOSTokenID, c.EOSTokenIDs = 128000, []int{128001}
}

func scaled(factor float64) func(*format.Config) {
	return func(c *format.Config) {
		c.RopeScaling = &format.RopeScaling{
			Type: "llama3", Factor: factor, LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxPositionEmbeddings: 8192,
		}
	}
}
