package bench

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// random is a model of random weights that is in no file.
type random struct{ c format.Config }

func (s random) Config() *format.Config          { return &s.c }
func (s random) Tokenizer() *tokenizer.Tokenizer { return nil }
func (s random) ChatTemplate() string            { return "" }
func (s random) DType(string) format.DType       { return format.F32 }
func (s random) Close() error                    { return nil }

// ReadRows makes rows of linear layers keep the size of what they read.
func (s random) ReadRows(dst []float32, name string, first int) error {
	if strings.HasSuffix(name, "norm.weight") {
		for i := range dst {
			dst[i] = 1
		}
		return nil
	}
	h := fnv.New64a()
	fmt.Fprint(h, name, first)
	rng := rand.New(rand.NewPCG(h.Sum64(), 1))
	spread := float32(math.Sqrt(3 / float64(len(dst)))) // of -spread to spread the variance is 1/n
	for i := range dst {
		dst[i] = spread * (2*rng.Float32() - 1)
	}
	return nil
}
