package train

import (
	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/train/nn"
)

// GradCheck compares the gradients of a model, on the first windows of the data, with
// differences of its loss: cross entropy, since to itself as a teacher it has none.
func GradCheck(dev kernels.TrainDevice, src format.Source, d *Data, c Config) ([]nn.GradCheck, error) {
	o := nn.Options{Quantization: floats(), Train: true, MaxTokens: c.Pass * c.Length, MaxLength: c.Length, Recompute: c.Recompute}
	m, err := nn.New(dev, src, o)
	if err != nil {
		return nil, err
	}
	o.Train = false
	teacher, err := nn.New(dev, src, o)
	if err != nil {
		return nil, err
	}
	teacher.Prepare()
	var b nn.Batch
	for i := range min(c.Pass, d.Len()) {
		b = append(b, d.Window(i))
	}
	return m.CheckGradients(teacher, b, 0, float32(1/float64(b.Targets())))
}
