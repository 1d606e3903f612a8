package convert

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"math"
	"strings"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Synth writes a model of c's shape with random weights to a .qat file at path:
// what a speed measurement needs of a model that one has not. The weights keep
// activations near 1, so that nothing overflows or dies out; the text is noise. The
// same shape, Options and seed give the same file. Without o.Tokenizer the
// tokenizer is a made-up one of the right size, in which every byte has a token.
func Synth(ctx context.Context, c format.Config, path string, o Options) error {
	if err := c.Check(); err != nil {
		return err
	}
	if o.Float == "" {
		o.Float = qat.Float16
	}
	q, err := o.quantization("synth")
	if err != nil {
		return err
	}
	h := &qat.Header{Config: c, Quantization: q, Tokenizer: o.Tokenizer}
	if h.Tokenizer == nil {
		if h.Tokenizer, err = synthTokenizer(&c); err != nil {
			return err
		}
	}
	h.Provenance = qat.Provenance{Source: o.Source, CreatedBy: o.CreatedBy, Seed: o.Seed}
	return create(ctx, path, h, o.Progress, func(ctx context.Context, w *qat.Writer, t qat.Tensor, step func(int)) error {
		return synthTensor(ctx, w, t, newNoise(o.Seed, t.Name), spread(&c, t), step)
	})
}

// spread is the standard deviation of a tensor's weights. A row of a linear layer
// keeps the size of what it reads; what is added to the residual stream, and the
// embedding it starts from, stay small and of one size; logits spread by about 2.
func spread(c *format.Config, t qat.Tensor) float64 {
	_, in := dims(t)
	w := 1 / math.Sqrt(float64(in))
	embedding := 2 / math.Sqrt(float64(c.HiddenSize))
	switch t.Name {
	case format.EmbedName, format.LMHeadName:
		return embedding
	}
	if strings.HasSuffix(t.Name, "o_proj.weight") || strings.HasSuffix(t.Name, "down_proj.weight") {
		return w * embedding / math.Sqrt(2*float64(c.NumHiddenLayers))
	}
	return w
}

func synthTensor(ctx context.Context, w *qat.Writer, t qat.Tensor, r *noise, spread float64, step func(int)) error {
	rows, cols := dims(t)
	if len(t.True) == 1 { // a norm
		ones := make([]byte, t.Size)
		for i := 0; i < len(ones); i += 4 {
			binary.LittleEndian.PutUint32(ones[i:], math.Float32bits(1))
		}
		step(cols)
		return w.Write(t.Name, ones)
	}
	rowBytes := int(t.Size) / rows
	block := min(max(blockBytes/rowBytes, 1), rows)
	buf := make([]byte, block*rowBytes)
	scales := make([]byte, 4*block)
	fill, unit := filler(t.DType, spread)
	for first := 0; first < rows; first += block {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(block, rows-first)
		b := buf[:n*rowBytes]
		fill(b, r)
		zeroPadding(b, rowBytes, t)
		if err := w.Write(t.Name, b); err != nil {
			return err
		}
		if t.Quantized() {
			for i := range n { // as uneven as real ones: 0.75 to 1.25 of the middle
				u := float64(r.next()>>11) / (1 << 53)
				binary.LittleEndian.PutUint32(scales[4*i:], math.Float32bits(float32(unit*(0.75+u/2))))
			}
			if err := w.Write(t.Name+qat.ScaleSuffix, scales[:4*n]); err != nil {
				return err
			}
		}
		step(n * cols)
	}
	return nil
}

// zeroPadding sets what stands in b's rows past the tensor's inputs to zero.
func zeroPadding(b []byte, rowBytes int, t qat.Tensor) {
	_, cols := dims(t)
	if cols%quant.RowAlign == 0 {
		return
	}
	for ; len(b) > 0; b = b[rowBytes:] {
		if t.DType != "U8" {
			clear(b[cols*rowBytes/t.Shape[1] : rowBytes])
			continue
		}
		q := make([]int8, cols)
		quant.UnpackInt4(q, b[:rowBytes])
		quant.PackInt4(b[:rowBytes], q)
	}
}

// noise is a stream of random numbers, SplitMix64's.
type noise uint64

func newNoise(seed uint64, name string) *noise {
	h := fnv.New64a()
	h.Write([]byte(name))
	n := noise(h.Sum64() ^ seed*0x9e3779b97f4a7c15)
	return &n
}

func (n *noise) next() uint64 {
	*n += 0x9e3779b97f4a7c15
	x := uint64(*n)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
