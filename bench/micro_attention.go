package bench

import (
	"slices"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/kvcache"
)

// cache is a KV cache larger than the processor's caches, and what goes with it.
type cache struct {
	*microMemory
	kernels.KVCache
	rope    kernels.RoPE
	queries int // bits
}

func (m *microMemory) cache(q qat.Quantization) (c *cache, err error) {
	f := m.config
	c = &cache{m, m.caches[q.KV()], kernels.RoPE{Positions: m.context, HeadDim: f.HeadDim}, q.QueryBits()}
	half := m.context * f.HeadDim / 2
	if c.rope.Cos, err = kernels.Alloc[float32](m.dev, half); err == nil {
		c.rope.Sin, err = kernels.Alloc[float32](m.dev, half)
	}
	if err == nil { // a rotation by nothing takes the same time
		kernels.Upload(m.dev, c.rope.Cos, slices.Repeat([]float32{1}, half))
	}
	return c, err
}

// batch returns a function of the i-th pass over the last n tokens of each of seqs
// sequences of the given length. Each pass has other pages than those before it, as far
// as there are. Slots are those of the first sequence.
func (c *cache) batch(seqs, n, length int) (func(i int) *kernels.Batch, error) {
	b := &kernels.Batch{T: seqs * n, S: seqs, MaxPages: kvcache.Count(length)}
	var lists [3][]int32 // positions, starts, lengths
	for s := range seqs {
		for i := range n {
			lists[0] = append(lists[0], int32(length-n+i))
		}
		lists[1] = append(lists[1], int32(s*n))
		lists[2] = append(lists[2], int32(length))
	}
	lists[1] = append(lists[1], int32(seqs*n))
	for i, buf := range []*kernels.Buf[int32]{&b.Positions, &b.QueryStart, &b.SeqLens} {
		var err error
		if *buf, err = kernels.Alloc[int32](c.dev, len(lists[i])); err != nil {
			return nil, err
		}
		kernels.Upload(c.dev, *buf, lists[i])
	}
	pages := seqs * b.MaxPages
	windows := c.Pages / pages
	return func(i int) *kernels.Batch {
		page := i % windows * pages
		b.PageTable = c.count.Slice(page, page+pages)
		slot := page*kernels.PageTokens + length - n
		b.Slots = c.count.Slice(slot, slot+n)
		return b
	}, nil
}

// mostBatchTokens is how many tokens of context a batch of sequences is measured with.
const mostBatchTokens = 1 << 17

// sequences lists how many of a context are decoded together: one, and on a GPU, which
// one does not fill, each batch that is no more than mostBatchTokens.
func (m *microMemory) sequences(o *Options, length int) []int {
	list := []int{1}
	for _, b := range o.Batches {
		if m.gpu && b*length <= mostBatchTokens {
			list = append(list, b)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// attention returns attention and RoPE with appending: of a token at each context, of
// one sequence or more, and of the last pass of a prompt that long.
func (m *microMemory) attention(q qat.Quantization, o *Options) (list []*operator, err error) {
	c, err := m.cache(q)
	if err != nil {
		return nil, err
	}
	tokens := []int{1}
	for _, n := range o.Prompts {
		tokens = append(tokens, min(n, o.Pass))
	}
	tokens = slices.Compact(slices.Sorted(slices.Values(tokens)))
	for _, n := range tokens {
		for _, length := range o.Contexts {
			seqs := m.sequences(o, length)
			if n > 1 {
				seqs = seqs[:1]
			}
			for _, s := range seqs {
				if length >= n {
					op, err := c.attend(s, n, length)
					if err != nil {
						return nil, err
					}
					list = append(list, op)
				}
			}
		}
	}
	for _, n := range tokens {
		if n <= m.context {
			op, err := c.store(n)
			if err != nil {
				return nil, err
			}
			list = append(list, op)
		}
	}
	return list, nil
}

// attend returns attention of the last n tokens of seqs sequences of length.
func (c *cache) attend(seqs, n, length int) (*operator, error) {
	f := c.config
	q, err := c.query(seqs * n)
	if err != nil {
		return nil, err
	}
	out, err := kernels.NewFloats(c.dev, seqs*n, f.NumAttentionHeads*f.HeadDim)
	if err != nil {
		return nil, err
	}
	batch, err := c.batch(seqs, n, length)
	if err != nil {
		return nil, err
	}
	op := &operator{Operator: Operator{Name: "prefill", Tokens: seqs * n, Context: length}}
	if n == 1 {
		op.Name = "decode"
	}
	op.attention(q, c.KVCache, seqs, n, length)
	op.run = func(i int) error {
		c.dev.PagedAttention(out, q, c.KVCache, batch(i), c.rope)
		return nil
	}
	return op, nil
}

// attention sets what attention of the last n tokens of seqs sequences of length reads,
// writes and multiplies.
func (op *Operator) attention(q kernels.Rows, kv kernels.KVCache, seqs, n, length int) {
	heads := q.N / (seqs * n)
	out := 4 * int64(q.N*q.Cols)
	op.Bytes = int64(seqs*length)*int64(kv.TokenBytes(kv.KVHeads, kv.HeadDim)) + rowBytes(q) + out
	// n queries meet length positions each, less the triangle after them; once in the
	// scores, once in the values, which are integers wherever the cache is quantized.
	pairs := int64(seqs) * (int64(n)*int64(length) - int64(n)*int64(n-1)/2)
	macs := pairs * int64(heads*kv.HeadDim)
	for _, ints := range []bool{q.Bits < 16, kv.Quantized()} {
		if ints {
			op.IntMACs += macs
		} else {
			op.FloatMACs += macs
		}
	}
}

// store returns RoPE of n tokens with their K and V appended.
func (c *cache) store(n int) (*operator, error) {
	f := c.config
	q, err := c.query(n)
	if err != nil {
		return nil, err
	}
	qkv, err := c.noise(n, (f.NumAttentionHeads+2*f.NumKeyValueHeads)*f.HeadDim)
	if err != nil {
		return nil, err
	}
	batch, err := c.batch(1, n, n)
	if err != nil {
		return nil, err
	}
	op := &operator{Operator: Operator{Name: "RoPE and append", Tokens: n}}
	op.Bytes = floatBytes(qkv) + rowBytes(q) + int64(n*c.TokenBytes(c.KVHeads, c.HeadDim))
	op.run = func(i int) error {
		c.dev.RoPEAppendKV(q, c.KVCache, qkv, batch(i), c.rope)
		return nil
	}
	return op, nil
}

// query returns the queries of n tokens.
func (c *cache) query(n int) (kernels.Rows, error) {
	f := c.config
	r, err := kernels.NewQueries(c.dev, n*f.NumAttentionHeads, f.HeadDim, c.queries)
	if err != nil {
		return r, err
	}
	// Quantize wants padded rows; queries have none, so noise is uploaded as it is.
	if c.queries == 16 {
		v := make([]float32, r.F.N)
		for i := range v {
			v[i] = c.rng.Float32() - 0.5
		}
		kernels.Upload(c.dev, r.F.Buf, v)
		return r, nil
	}
	v := make([]int8, r.Q.N)
	for i := range v {
		v[i] = int8(c.rng.IntN(2*quant.Int8Max+1) - quant.Int8Max)
	}
	kernels.Upload(c.dev, r.Q, v)
	kernels.Upload(c.dev, r.Scale, slices.Repeat([]float32{0.5 / quant.Int8Max}, r.N))
	return r, nil
}
