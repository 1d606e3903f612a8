package nn

import (
	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Bytes is what a model takes of its device's memory.
type Bytes struct {
	Weights     int64
	Gradients   int64
	Rounded     int64 // weights as layers multiply by them, and as a .qat file has them
	Activations int64 // of a pass, with their gradients and logits
}

// BytesOf says what New would take.
func BytesOf(c *format.Config, o Options) (b Bytes, err error) {
	q := o.Quantization
	for _, t := range c.Tensors() {
		rows, cols := t.Out, t.In
		if t.In == 0 {
			rows, cols = 1, t.Out
		}
		n := int64(rows) * int64(quant.Align(cols)) * 4
		b.Weights += n
		weight := func(bits int) {
			if bits < 16 {
				b.Rounded += n
			}
			if typ := weightType(q, bits); o.serves() && typ != kernels.Float32 {
				b.Rounded += int64(rows) * int64(typ.RowBytes(cols))
			}
		}
		switch {
		case t.Linear:
			weight(q.Bits.W)
		case t.LMHead:
			weight(q.LMHeadBits)
		case t.Embedding:
			weight(16)
			if c.TieWordEmbeddings && q.LMHeadBits < 16 {
				weight(q.LMHeadBits)
			}
		}
	}
	if o.Train {
		b.Gradients = b.Weights
	}
	s := shape{heads: c.NumAttentionHeads, kvHeads: c.NumKeyValueHeads, dim: c.HeadDim}
	count := &counter{}
	_, err = newPass(count, &s, c, o)
	b.Activations = count.bytes
	return b, err
}

// counter is a device of which only the memory that was asked for matters.
type counter struct {
	kernels.TrainDevice
	bytes int64
}

func (c *counter) Alloc(n int) (kernels.Mem, error) { c.bytes += int64(n); return nil, nil }
func (c *counter) Upload(kernels.Mem, int, []byte)  {}
