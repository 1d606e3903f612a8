package model

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/kvcache"
)

// Run is a stretch of one sequence to be computed.
type Run struct {
	Tokens   []int32 // at least one
	Position int     // of the first token; K and V of those before it are in the cache
	Pages    []int32 // the sequence's KV pages, enough for its last token
}

// batcher writes runs as a kernels.Batch, with what else a pass takes, all in one
// buffer and one upload.
type batcher struct {
	o     Options
	host  []int32
	buf   kernels.Buf[int32]
	b     kernels.Batch
	rows  kernels.Buf[int32] // those whose logits are wanted
	draws kernels.Buf[int32] // and how their tokens are drawn, where the device does
}

func newBatcher(mem kernels.Memory, o Options) (b batcher, err error) {
	n := (4+kernels.DrawWords)*o.MaxTokens + 2*o.MaxSeqs + 1 + o.MaxSeqs*kvcache.Count(o.MaxContext)
	b = batcher{o: o, host: make([]int32, 0, n)}
	b.buf, err = kernels.Alloc[int32](mem, n)
	return b, err
}

// pack returns the batch of runs, good until the next call, as rows and draws are.
func (p *batcher) pack(m *Model, runs []Run, rows []int32, draws []kernels.Draw) *kernels.Batch {
	b := &p.b
	b.T, b.S, b.MaxPages = 0, len(runs), 0
	last := 0 // the largest position
	for i := range runs {
		end := p.check(m, &runs[i])
		b.T += len(runs[i].Tokens)
		b.MaxPages = max(b.MaxPages, kvcache.Count(end))
		last = max(last, end-1)
	}
	if b.S == 0 || b.S > p.o.MaxSeqs || b.T > p.o.MaxTokens {
		panic(fmt.Sprintf("model: a pass of %d tokens of %d sequences; want 1 to %d of 1 to %d", b.T, b.S, p.o.MaxTokens, p.o.MaxSeqs))
	}
	checkRows(rows, draws, b.T)
	m.rope.reach(last)

	h := p.host[:0]
	part := func(write func()) kernels.Buf[int32] {
		from := len(h)
		write()
		return p.buf.Slice(from, len(h))
	}
	b.Tokens = part(func() {
		for _, r := range runs {
			h = append(h, r.Tokens...)
		}
	})
	b.Positions = part(func() {
		for _, r := range runs {
			for i := range r.Tokens {
				h = append(h, int32(r.Position+i))
			}
		}
	})
	b.Slots = part(func() {
		for _, r := range runs {
			for i := range r.Tokens {
				at := r.Position + i
				h = append(h, r.Pages[at/kernels.PageTokens]*kernels.PageTokens+int32(at%kernels.PageTokens))
			}
		}
	})
	b.QueryStart = part(func() {
		start := int32(0)
		h = append(h, start)
		for _, r := range runs {
			start += int32(len(r.Tokens))
			h = append(h, start)
		}
	})
	b.SeqLens = part(func() {
		for _, r := range runs {
			h = append(h, int32(r.Position+len(r.Tokens)))
		}
	})
	b.PageTable = part(func() {
		for _, r := range runs {
			used := kvcache.Count(r.Position + len(r.Tokens))
			h = append(h, r.Pages[:used]...)
			for range b.MaxPages - used {
				h = append(h, -1)
			}
		}
	})
	p.rows = part(func() { h = append(h, rows...) })
	p.draws = part(func() {
		for i := range draws {
			h = draws[i].Append(h)
		}
	})
	kernels.Upload(m.dev, p.buf, h)
	return b
}

func checkRows(rows []int32, draws []kernels.Draw, tokens int) {
	if len(rows) > tokens || len(draws) > 0 && len(draws) != len(rows) {
		panic(fmt.Sprintf("model: logits of %d rows of a pass of %d, with %d draws", len(rows), tokens, len(draws)))
	}
	for _, r := range rows {
		if r < 0 || int(r) >= tokens {
			panic(fmt.Sprintf("model: logits of row %d of a pass of %d", r, tokens))
		}
	}
}

// check panics where no pass can hold r, and returns the sequence's length after it.
func (p *batcher) check(m *Model, r *Run) (end int) {
	end = r.Position + len(r.Tokens)
	if len(r.Tokens) == 0 || r.Position < 0 || end > p.o.MaxContext || len(r.Pages) < kvcache.Count(end) {
		panic(fmt.Sprintf("model: a run of %d tokens at position %d with %d pages; the context is %d", len(r.Tokens), r.Position, len(r.Pages), p.o.MaxContext))
	}
	for _, id := range r.Tokens {
		if id < 0 || int(id) >= m.config.VocabSize {
			panic(fmt.Sprintf("model: token %d of a vocabulary of %d", id, m.config.VocabSize))
		}
	}
	return end
}
