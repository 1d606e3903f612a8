package nn

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// TopK are a teacher's k likeliest next tokens after each of T tokens, as DistillTopK
// takes them.
type TopK struct {
	IDs []int32   // [T, k]
	Ln  []float32 // [T, k+1]
}

// stored is where a pass has some rows of a TopK on the device.
type stored struct {
	ids kernels.Buf[int32] // [headRows·k]
	ln  kernels.Floats     // [headRows, k+1]
}

// target is what a student's logits are compared with.
type target interface {
	// compare does so with those of the student's tokens from the given one on: Distill, in
	// place.
	compare(student *Model, logits, stats kernels.Floats, from int, l Loss)
}

func (t *TopK) compare(student *Model, logits, stats kernels.Floats, from int, l Loss) {
	k, n, p, d := student.o.TopK, logits.Rows, &student.pass, student.dev
	ids, ln := p.stored.ids.Slice(0, n*k), p.stored.ln.First(n)
	kernels.Upload(d, ids, t.IDs[from*k:][:n*k])
	kernels.UploadFloats(d, ln, t.Ln[from*(k+1):][:n*(k+1)])
	d.DistillTopK(logits, stats, logits, ln, ids, p.targets.Slice(from, from+n), l.Soft, l.Weight)
}

func (m *Model) compare(student *Model, logits, stats kernels.Floats, from int, l Loss) {
	n := logits.Rows
	wanted := m.pass.logits.First(n)
	m.logits(wanted, from)
	m.dev.Distill(logits, stats, logits, wanted, student.pass.targets.Slice(from, from+n), l.Soft, l.Weight)
}

// StepTopK is Step by what is known of a teacher's logits of b's tokens: KL is over k+1
// classes, the last of which is all other tokens. The loss has no weights for attention
// and hidden states.
func (m *Model) StepTopK(wanted *TopK, b Batch, l Loss) (Stats, error) {
	if t, k := b.Tokens(), m.o.TopK; k == 0 || len(wanted.IDs) != t*k || len(wanted.Ln) != t*(k+1) || l.compares() {
		panic(fmt.Sprintf("nn: %d ids and %d logarithms for %d tokens, %d of each; loss %+v", len(wanted.IDs), len(wanted.Ln), t, k, l))
	}
	m.forward(b)
	return m.learn(wanted, nil, l)
}

// TopK calls each with the k likeliest next tokens after each of b's, in order: ids, the
// likeliest first and of equal ones the first, and ln [k+1], the logarithms of their
// probabilities and of what is left for all others. Prepare came before.
func (m *Model) TopK(b Batch, k int, each func(ids []int32, ln []float32) error) error {
	m.forward(b)
	p, vocab := &m.pass, m.config.VocabSize
	if m.hostLogits == nil {
		m.hostLogits = make([]float32, p.logits.Rows*vocab)
	}
	ids, ln := make([]int32, k), make([]float32, k+1)
	for from := 0; from < p.ids.N; from += headRows {
		n := min(headRows, p.ids.N-from)
		logits, host := p.logits.First(n), m.hostLogits[:n*vocab]
		m.logits(logits, from)
		kernels.DownloadFloats(m.dev, host, logits)
		if err := m.dev.Sync(); err != nil {
			return err
		}
		for i := range n {
			if err := likeliest(ids, ln, host[i*vocab:][:vocab]); err != nil {
				return fmt.Errorf("logits after token %d: %w", from+i, err)
			}
			if err := each(ids, ln); err != nil {
				return err
			}
		}
	}
	return nil
}

// likeliest sets ids [k] and ln [k+1] to the largest of logits.
func likeliest(ids []int32, ln []float32, logits []float32) error {
	if !quant.IsFinite(quant.AbsMax(logits)) {
		return quant.ErrNotFinite
	}
	n := 0
	for id, v := range logits {
		if n == len(ids) && v <= logits[ids[n-1]] {
			continue
		}
		n = min(n+1, len(ids))
		at := n - 1
		for ; at > 0 && v > logits[ids[at-1]]; at-- {
			ids[at] = ids[at-1]
		}
		ids[at] = int32(id)
	}
	top, last := logits[ids[0]], ids[n-1]
	var sum, rest float64
	for id, v := range logits {
		e := float64(fp.Exp(v - top))
		sum += e
		if v < logits[last] || v == logits[last] && int32(id) > last {
			rest += e
		}
	}
	lnSum := fp.Log(sum)
	for i, id := range ids {
		ln[i] = float32(float64(logits[id]-top) - lnSum)
	}
	ln[n] = float32(math.Inf(-1))
	if rest > 0 {
		ln[n] = float32(fp.Log(rest) - lnSum)
	}
	return nil
}
