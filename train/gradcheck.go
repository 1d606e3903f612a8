package train

import (
	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/nn"
)

// GradCheck compares the gradients of a model's loss, on the first windows of the data,
// with differences of that loss. The model is not rounded, and so would have no loss to
// itself: its teacher is a copy that is.
func GradCheck(dev kernels.TrainDevice, src format.Source, d *Data, c Config) ([]nn.GradCheck, error) {
	o := nn.Options{Quantization: floats(), Train: true, MaxTokens: c.Pass * c.Length, MaxLength: c.Length, Recompute: c.Recompute}
	rounded := qat.Quantization{Bits: quant.Bits{W: 4, A: 8, KV: 4}, KVScheme: quant.KVHeadZP, Float: qat.Float32, LMHeadBits: 8}
	m, err := nn.New(dev, src, o)
	if err != nil {
		return nil, err
	}
	o.Train, o.Recompute, o.KeepMaps, o.Quantization = false, false, true, rounded
	teacher, err := nn.New(dev, src, o)
	if err != nil {
		return nil, err
	}
	teacher.Prepare()
	var b nn.Batch
	for i := range min(c.Pass, d.Len()) {
		b = append(b, d.Window(i))
	}
	return m.CheckGradients(teacher, b, c.loss(b))
}
