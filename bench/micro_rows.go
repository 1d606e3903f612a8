package bench

import (
	"math"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/sample"
)

// rows returns what runs between the linear layers, a row at a time.
func (m *microMemory) rows(q qat.Quantization, tokens []int) (list []*operator, err error) {
	c := m.config
	for _, n := range tokens {
		x, err := m.noise(n, c.HiddenSize)
		if err != nil {
			return nil, err
		}
		in, err := kernels.NewRows(m.dev, n, c.HiddenSize, q.Bits.A)
		if err != nil {
			return nil, err
		}
		weight, err := m.noise(1, c.HiddenSize)
		if err != nil {
			return nil, err
		}
		gateUp, err := m.noise(n, 2*c.IntermediateSize)
		if err != nil {
			return nil, err
		}
		ff, err := kernels.NewRows(m.dev, n, c.IntermediateSize, q.Bits.A)
		if err != nil {
			return nil, err
		}
		norm := &operator{Operator: Operator{Name: "RMSNorm", Tokens: n, Bytes: floatBytes(x) + floatBytes(weight) + rowBytes(in)}}
		norm.run = func(int) error { m.dev.RMSNorm(in, x, weight.Buf, float32(c.RMSNormEps)); return nil }
		swiglu := &operator{Operator: Operator{Name: "SwiGLU", Tokens: n, Bytes: floatBytes(gateUp) + rowBytes(ff)}}
		swiglu.run = func(int) error { m.dev.SwiGLU(ff, gateUp); return nil }
		list = append(list, norm, swiglu)
	}
	return list, nil
}

// other returns what no setting changes: the embedding, sampling, which is one
// thread's, and what an operator costs that does nothing.
func (m *microMemory) other(tokens []int) (list []*operator, err error) {
	c := m.config
	table := m.table()
	for _, n := range tokens {
		out, err := kernels.NewFloats(m.dev, n, c.HiddenSize)
		if err != nil {
			return nil, err
		}
		op := &operator{Operator: Operator{Name: "embedding", Tokens: n}}
		op.Bytes = floatBytes(out) + int64(n)*int64(table.Type.RowBytes(c.HiddenSize))
		op.run = func(i int) error {
			from := i * 7919 % (c.VocabSize - n + 1) // far from the last ones
			m.dev.Embed(out, table, m.count.Slice(from, from+n))
			return nil
		}
		list = append(list, op)
	}
	launch := &operator{Operator: Operator{Name: "no work: a launch"}}
	launch.run = func(int) error { m.dev.Barrier(); return nil }
	if m.gpu { // which the host's sampling would say nothing about
		draws, err := m.draws(tokens)
		return append(append(list, draws...), launch), err
	}
	logits := make([]float32, c.VocabSize)
	for i := range logits {
		logits[i] = float32(2 * m.rng.NormFloat64()) // as far apart as those of random weights
	}
	work, err := sample.NewWork(c.VocabSize)
	if err != nil {
		return nil, err
	}
	for _, s := range []struct {
		name string
		p    sample.Params
	}{
		{"sampling, greedy", sample.Params{}},
		{"sampling, temperature 1", sample.Params{Temperature: 1}},
		{"sampling, top-k 40", sample.Params{Temperature: 1, TopK: 40}},
		{"sampling, top-p 0.95", sample.Params{Temperature: 1, TopP: 0.95}},
	} {
		sampler := sample.New(s.p, c.VocabSize, nil)
		op := &operator{Operator: Operator{Name: s.name, Bytes: 4 * int64(c.VocabSize)}}
		op.run = func(int) error { _, err := sampler.Token(work, logits); return err }
		list = append(list, op)
	}
	launch.Name = "no work: the workers' barrier"
	return append(list, launch), nil
}

// draws returns the drawing of tokens on a device that does so.
func (m *microMemory) draws(tokens []int) (list []*operator, err error) {
	d, ok := m.dev.(kernels.Drawer)
	if !ok {
		return nil, nil
	}
	for _, n := range tokens {
		logits, err := m.noise(n, m.config.VocabSize)
		if err != nil {
			return nil, err
		}
		ids, err := kernels.Alloc[int32](m.dev, n)
		if err != nil {
			return nil, err
		}
		for _, how := range []struct {
			name string
			draw kernels.Draw
		}{
			{"draw, greedy", greedy},
			{"draw, temperature 1", kernels.Draw{Scale: 1, Below: math.Inf(1)}},
			{"draw, top-k 40", kernels.Draw{Scale: 1, Below: math.Inf(1), TopK: 40}},
			{"draw, top-p 0.95", kernels.Draw{Scale: 1, Below: math.Inf(1), Leave: 0.05}},
		} {
			var words []int32
			for range n {
				how.draw.Random = m.rng.Uint64()
				words = how.draw.Append(words)
			}
			draws, err := kernels.Alloc[int32](m.dev, len(words))
			if err != nil {
				return nil, err
			}
			kernels.Upload(m.dev, draws, words)
			op := &operator{Operator: Operator{Name: how.name, Tokens: n, Bytes: floatBytes(logits)}}
			op.run = func(int) error { d.Draw(ids, logits, draws); return nil }
			list = append(list, op)
		}
	}
	return list, nil
}
