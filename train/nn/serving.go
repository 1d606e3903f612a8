package nn

import (
	"errors"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
)

// serves reports whether the forward pass is, to the bit, the one that serves the model:
// of weights as a .qat file has them, by the operators of kernels.Device in the order of
// runtime/model. So it is of what is trained. Else, of a teacher, of what methods without
// training look at, and of Compat, which nothing serves, it is a chain of float32 operators.
func (o *Options) serves() bool { return o.Train && !o.Compat }

// weightType is how a .qat file holds weights of the given bits.
func weightType(q qat.Quantization, bits int) kernels.WeightType {
	switch {
	case bits == 4:
		return kernels.Int4
	case bits == 8:
		return kernels.Int8
	case q.Float == qat.Float16:
		return kernels.Float16
	case q.Float == qat.BFloat16:
		return kernels.BFloat16
	}
	return kernels.Float32
}

// packed is memory for p as a .qat file holds it; float32s are p's own.
func (b *builder) packed(p *Param, bits int, scale kernels.Buf[float32]) []kernels.Weight {
	if !b.o.serves() {
		return nil
	}
	w := floatsOf(p.W)
	if w.Type = weightType(b.o.Quantization, bits); w.Type != kernels.Float32 {
		var err error
		if w.Data, err = kernels.Alloc[uint8](b.dev, w.Out*w.Type.RowBytes(w.In)); err != nil {
			b.errs = append(b.errs, err)
		}
	}
	if w.Type.Quantized() {
		w.Scale = scale
	}
	return []kernels.Weight{w}
}

// serving is what the serving operators need of a pass, beside what gradients do.
type serving struct {
	on   bool
	rows inputs
	kv   kernels.KVCache // of one layer after another
	buf  kernels.Buf[int32]
	host []int32
	// batch has each sequence from position 0 on, in pages of its own.
	batch kernels.Batch
}

// inputs are what linear layers and attention read, in integers; what has 16 bits is
// read as it is and has none.
type inputs struct {
	in, attn, ff, out kernels.Rows // [T, H], [T, queries], [T, F], [T, H]
	q                 kernels.Rows // [T·heads, HeadDim], of floats, too
}

// pages are those of n tokens of one sequence.
func pages(n int) int { return (n + kernels.PageTokens - 1) / kernels.PageTokens }

// newServing allocates what a pass of o.MaxTokens tokens takes, of as many sequences of
// o.MaxLength as begin in them.
func newServing(mem kernels.Memory, s *shape, c *format.Config, o Options) (v serving, err error) {
	q, t := o.Quantization, o.MaxTokens
	var errs []error
	rows := func(cols, bits int) (r kernels.Rows) {
		if bits < 16 {
			var err error
			r, err = kernels.NewRows(mem, t, cols, bits)
			errs = append(errs, err)
		}
		return r
	}
	v.on = true
	v.rows = inputs{in: rows(c.HiddenSize, q.Bits.A), attn: rows(s.queries(), q.Bits.A), ff: rows(c.IntermediateSize, q.Bits.A),
		out: rows(c.HiddenSize, q.LMHeadActivationBits())}
	v.rows.q, err = kernels.NewQueries(mem, t*s.heads, s.dim, q.QueryBits())
	errs = append(errs, err)
	each := pages(o.MaxLength)
	n := (t + o.MaxLength - 1) / o.MaxLength * each
	v.kv, err = kernels.NewKVCache(mem, q.KV(), n, s.kvHeads, s.dim)
	errs = append(errs, err)
	// Slots, and of up to n sequences lengths and page table.
	v.host = make([]int32, 0, t+n+n*each)
	v.buf, err = kernels.Alloc[int32](mem, cap(v.host))
	return v, errors.Join(append(errs, err)...)
}

// first returns the memory of t tokens of all.
func (r inputs) first(t, all int) inputs {
	for _, x := range []*kernels.Rows{&r.in, &r.attn, &r.ff, &r.out} {
		if x.N > 0 {
			*x = x.First(t)
		}
	}
	r.q = r.q.First(r.q.N / all * t)
	return r
}

// load makes the batch one of b, whose tokens p has.
func (s *serving) load(p *pass, b Batch) {
	h, page := s.host[:0], int32(0)
	part := func(write func()) kernels.Buf[int32] {
		from := len(h)
		write()
		return s.buf.Slice(from, len(h))
	}
	x := &s.batch
	x.T, x.S, x.MaxPages = p.ids.N, len(b), pages(p.seqs.Longest)
	x.Tokens, x.Positions, x.QueryStart = p.ids, p.positions, p.seqs.Start
	x.Slots = part(func() {
		for _, ids := range b {
			for i := range ids {
				h = append(h, page*kernels.PageTokens+int32(i))
			}
			page += int32(pages(len(ids)))
		}
	})
	x.SeqLens = part(func() {
		for _, ids := range b {
			h = append(h, int32(len(ids)))
		}
	})
	x.PageTable = part(func() {
		next := int32(0)
		for _, ids := range b {
			for i := range x.MaxPages {
				if i < pages(len(ids)) {
					h = append(h, next)
					next++
				} else {
					h = append(h, -1)
				}
			}
		}
	})
	kernels.Upload(p.dev, s.buf, h)
}
