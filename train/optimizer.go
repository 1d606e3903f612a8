package train

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/train/nn"
)

// optimizer is AdamW on a model's parameters.
type optimizer struct {
	dev     kernels.TrainDevice
	params  []*nn.Param
	m, v    []kernels.Floats // moments, of each parameter
	squares kernels.Buf[float32]
	host    []float32
}

func newOptimizer(dev kernels.TrainDevice, params []*nn.Param) (*optimizer, error) {
	o := &optimizer{dev: dev, params: params}
	most := 0
	for _, p := range params {
		m, err := kernels.NewFloats(dev, p.W.Rows, p.W.Cols)
		if err != nil {
			return nil, fmt.Errorf("memory for the optimizer: %w", err)
		}
		v, err := kernels.NewFloats(dev, p.W.Rows, p.W.Cols)
		if err != nil {
			return nil, fmt.Errorf("memory for the optimizer: %w", err)
		}
		o.m, o.v, most = append(o.m, m), append(o.v, v), max(most, p.W.Rows)
	}
	var err error
	o.squares, err = kernels.Alloc[float32](dev, most)
	o.host = make([]float32, most)
	return o, err
}

// gradNorm returns the length of the gradient of all parameters together.
func (o *optimizer) gradNorm() (float64, error) {
	sum := 0.0
	for _, p := range o.params {
		rows := o.squares.Slice(0, p.W.Rows)
		o.dev.RowSquares(rows, p.Grad)
		host := o.host[:p.W.Rows]
		kernels.Download(o.dev, host, rows)
		for _, v := range host {
			sum += float64(v)
		}
	}
	return math.Sqrt(sum), o.dev.Sync()
}

// step moves the weights; t counts from 1.
func (o *optimizer) step(c *Config, t int, rate, gradScale float64) error {
	s := kernels.AdamWStep{
		Beta1: float32(c.Beta1), Beta2: float32(c.Beta2), Epsilon: float32(c.Epsilon),
		Correct1: float32(1 - math.Pow(c.Beta1, float64(t))), Correct2: float32(1 - math.Pow(c.Beta2, float64(t))),
		GradScale: float32(gradScale),
	}
	for i, p := range o.params {
		s.LearningRate, s.WeightDecay, s.Least = float32(rate), float32(c.WeightDecay), 0
		if p.Of != nil { // steps
			s.LearningRate, s.WeightDecay, s.Least = float32(rate*c.StepsRate), 0, leastStep
		}
		o.dev.AdamW(p.W, p.Grad, o.m[i], o.v[i], s)
	}
	return o.dev.Sync()
}
