package train

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/format"
)

const (
	// leastRate is the paper's, for 7 billion parameters.
	leastRate = 2e-5
	// rateFactor is from two measured models: 2.5e-3 is best for 260 thousand parameters,
	// whose weights are 0.14 at a hidden size of 64, and 1.5e-4 to 2e-4 for 3 million with
	// 0.029 at 192, which 3e-4 wrecks.
	rateFactor = 1.16
	// rateRows is about how many rows of a tensor are read.
	rateRows = 256
)

// DefaultLearningRate is proportional to the size (root of the mean square) of the
// layers' weights, as AdamW's steps are of one size whatever theirs is, and inverse to
// the hidden size: early steps are alike in sign, and add up over a row's inputs. It
// does not fall below the published 2e-5.
func DefaultLearningRate(src format.Source) (float64, error) {
	m := src.Config()
	sum, n := 0.0, 0
	for _, t := range m.Tensors() {
		if !t.Linear {
			continue
		}
		row := make([]float32, t.In)
		every := t.Out/rateRows | 1 // odd, or it would always be the same rows of q's and k's heads, which RoPE makes unlike
		for i := 0; i < t.Out; i += every {
			if err := src.ReadRows(row, t.Name, i); err != nil {
				return 0, fmt.Errorf("tensor %q: %w", t.Name, err)
			}
			for _, v := range row {
				sum, n = sum+float64(v)*float64(v), n+1
			}
		}
	}
	rate := rateFactor * math.Sqrt(sum/float64(n)) / float64(m.HiddenSize)
	if !finite(rate) {
		return leastRate, nil // reading the model says what is wrong with it
	}
	return min(max(rate, leastRate), 1), nil
}
