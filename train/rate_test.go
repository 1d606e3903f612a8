package train

import (
	"math"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// even is a model whose every weight is v.
type even struct {
	c format.Config
	v float32
}

func (s even) Config() *format.Config        { return &s.c }
func (even) ChatTemplate() string            { return "" }
func (even) Tokenizer() *tokenizer.Tokenizer { return nil }
func (even) DType(string) (d format.DType)   { return d }
func (even) Close() error                    { return nil }
func (s even) ReadRows(dst []float32, name string, row int) error {
	v := s.v
	if row%8 < 2 { // of heads of 8, as RoPE makes some unlike the others
		v *= 1.5
	}
	for i := range dst {
		if dst[i] = v; name == format.EmbedName {
			dst[i] = 100 // of which nothing is to come
		}
	}
	return nil
}

// The two measured models, and one of 7 billion parameters, which has the published rate.
func TestDefaultLearningRate(t *testing.T) {
	// Their rows, a quarter of which is 1.5 times the others, have this mean size.
	const size = 1.1456439 // √(1 + 1.25/4)
	for _, c := range []struct {
		weight float32
		hidden int
		want   float64
	}{{0.1375, 64, 2.5e-3}, {-0.0289, 192, 1.75e-4}, {0.02, 4096, 2e-5}, {float32(math.NaN()), 64, 2e-5}} {
		m := *teacher().Config()
		m.HiddenSize = c.hidden
		got, err := DefaultLearningRate(even{m, c.weight / size})
		if err != nil || math.Abs(got/c.want-1) > 0.02 {
			t.Errorf("weights of %v, hidden size %d: %v, %v; want %v", c.weight, c.hidden, got, err, c.want)
		}
	}
}
