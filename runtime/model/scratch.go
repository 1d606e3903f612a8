package model

import (
	"errors"
	"fmt"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
)

// logitRows is how many rows of logits are computed at once, 16 MB with 128k tokens,
// and logitBytes what more of them may take: lm_head's weights are read once for a whole
// decode batch, if it is not very large.
const logitRows, logitBytes = 32, 64 << 20

// scratch is the memory of one pass of T tokens. The layers use it one after another.
type scratch struct {
	x      kernels.Floats // [T, H] residual stream
	in     kernels.Rows   // [T, H] input of q, k, v and of gate, up
	qkv    kernels.Floats // [T, (heads + 2·KVHeads)·HeadDim]
	q      kernels.Rows   // [T·heads, HeadDim]
	attn   kernels.Floats // [T, heads·HeadDim]
	attnIn kernels.Rows   // the same, as o_proj reads it
	gateUp kernels.Floats // [T, 2F]
	ff     kernels.Rows   // [T, F] input of down_proj
	heads  int

	pickedX, pickedAttn kernels.Floats // [T, H] and [T, heads·HeadDim]: the rows that logits are wanted of

	lmIn   kernels.Rows       // [R, H] input of lm_head
	logits kernels.Floats     // [R, vocab]
	ids    kernels.Buf[int32] // [T] tokens drawn on the device
	host   []float32          // [vocab] a row of logits
	drawn  []int32            // [T] ids
}

func newScratch(mem kernels.Memory, h *qat.Header, o Options) (*scratch, error) {
	c, q := &h.Config, h.Quantization
	t, r := o.MaxTokens, min(max(logitRows, min(o.MaxSeqs, logitBytes/(4*c.VocabSize))), o.MaxTokens)
	qDim, kvDim := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	s := &scratch{heads: c.NumAttentionHeads, host: make([]float32, c.VocabSize), drawn: make([]int32, t)}
	var errs []error
	floats := func(rows, cols int) kernels.Floats {
		f, err := kernels.NewFloats(mem, rows, cols)
		errs = append(errs, err)
		return f
	}
	input := func(rows, cols, bits int) kernels.Rows {
		f, err := kernels.NewRows(mem, rows, cols, bits)
		errs = append(errs, err)
		return f
	}
	var err error
	s.x = floats(t, c.HiddenSize)
	s.in = input(t, c.HiddenSize, q.Bits.A)
	s.qkv = floats(t, qDim+2*kvDim)
	s.q, err = kernels.NewQueries(mem, t*c.NumAttentionHeads, c.HeadDim, q.QueryBits())
	errs = append(errs, err)
	s.attn = floats(t, qDim)
	if q.Bits.A == 16 {
		s.attnIn = kernels.Rows{Bits: 16, N: t, Cols: qDim, Stride: s.attn.Stride, F: s.attn}
	} else {
		s.attnIn = input(t, qDim, q.Bits.A)
	}
	s.gateUp = floats(t, 2*c.IntermediateSize)
	s.ff = input(t, c.IntermediateSize, q.Bits.A)

	s.pickedX, s.pickedAttn = floats(t, c.HiddenSize), floats(t, qDim)
	s.lmIn = input(r, c.HiddenSize, q.LMHeadActivationBits())
	s.logits = floats(r, c.VocabSize)
	s.ids, err = kernels.Alloc[int32](mem, t)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("memory for %d tokens a step: %w", t, err)
	}
	return s, nil
}

// first returns the memory of a pass of t tokens.
func (s scratch) first(t int) scratch {
	s.x, s.in, s.qkv, s.q = s.x.First(t), s.in.First(t), s.qkv.First(t), s.q.First(t*s.heads)
	s.attn, s.attnIn = s.attn.First(t), s.attnIn.First(t)
	s.gateUp, s.ff = s.gateUp.First(t), s.ff.First(t)
	return s
}
