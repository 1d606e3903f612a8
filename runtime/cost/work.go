package cost

import (
	"fmt"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/runtime/engine"
)

// Work is what passes of a model do.
type Work struct {
	Float float64 // multiply-adds of floats
	Int8  float64 // and of int8
	Bytes float64 // that are read: weights and KV cache
}

// Pass is one that a model makes, or the mean of many.
type Pass struct {
	Tokens  float64 // that go through the layers
	Seqs    float64 // sequences that they belong to, whose KV cache is read
	Context float64 // tokens before a token in its sequence
	Logits  float64 // tokens of which logits are wanted
}

// Of returns the work of n passes of a model with header h. Products of attention count as those
// of floats, whatever the KV cache holds: they stop before they reach the int8 peak.
func (p Pass) Of(h *qat.Header, n float64) Work {
	c, q := &h.Config, h.Quantization
	head := float64(c.VocabSize) * float64(c.HiddenSize)
	layers := float64(c.MACs()) - head
	w := Work{Float: 2 * p.Tokens * c.ScoreMACs(p.Context)}
	*w.kind(q.Bits.A < 16) += p.Tokens * layers
	*w.kind(q.LMHeadActivationBits() < 16) += p.Logits * head
	kv := float64(h.KVTokenBytes())
	w.Bytes = float64(h.DataBytes()) + p.Seqs*p.Context*kv
	if !c.TieWordEmbeddings { // of which a few rows are read
		w.Bytes -= head * float64(embeddingBytes(q))
	}
	return Work{n * w.Float, n * w.Int8, n * w.Bytes}
}

func (w *Work) kind(ints bool) *float64 {
	if ints {
		return &w.Int8
	}
	return &w.Float
}

func embeddingBytes(q qat.Quantization) int {
	if q.Float == qat.Float32 {
		return 4
	}
	return 2
}

// What passes reach of a device's ceilings, in the mean: the times of multiplying and of reading are
// summed. The figures of docs/benchmarks lie within a factor of 1.8 of what that says (TestAsMeasured).
const (
	multiplied = 0.7
	read       = 0.85
)

// Seconds is how long w takes at speed s.
func (w Work) Seconds(s Speed) float64 {
	return (w.Float/s.Float+w.Int8/s.Int8)/multiplied + w.Bytes/(read*s.Read)
}

// Total is the last line of every dry run: scripts find it by its beginning.
func Total(bytes int64, seconds float64) string {
	return fmt.Sprintf("in all: %s of memory, %.3g hours", engine.Size(bytes), seconds/3600)
}
