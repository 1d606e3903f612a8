package nn

import "github.com/llmqat/llmqat/kernels"

// ServedStats sum up how a student does by two ways of computing it on the same tokens.
type ServedStats struct {
	Own    Stats // by this package's forward
	Served Stats // by the operators that serve it
	// Apart is how far the first is from the second: as if that were its teacher.
	Apart Stats
}

// Add adds the tokens of t.
func (s *ServedStats) Add(t ServedStats) {
	s.Own.Add(t.Own)
	s.Served.Add(t.Served)
	s.Apart.Add(t.Apart)
}

// EvaluateServed does as Evaluate, with the logits of the same tokens as they are served:
// next sets dst [n, vocab] to those that follow the next n tokens of b. Prepare came
// before. The model was made to be trained.
func (m *Model) EvaluateServed(teacher *Model, b Batch, l Loss, next func(dst []float32) error) (s ServedStats, err error) {
	m.forwardBeside(teacher, b, l)
	p, q, d := &m.pass, &teacher.pass, m.dev
	vocab := m.config.VocabSize
	if m.hostLogits == nil {
		m.hostLogits = make([]float32, p.served.Rows*vocab)
	}
	for from := 0; from < p.ids.N; from += headRows {
		n := min(headRows, p.ids.N-from)
		host := m.hostLogits[:n*vocab]
		if err := next(host); err != nil {
			return s, err
		}
		own, served, wanted, unasked := p.logits.First(n), p.served.First(n), q.logits.First(n), p.unasked.First(n)
		kernels.UploadFloats(d, served, host)
		m.logits(own, from)
		teacher.logits(wanted, from)
		stats, targets := p.stats.First(n), p.targets.Slice(from, from+n)
		for _, x := range []struct {
			to              *Stats
			logits, teacher kernels.Floats
		}{{&s.Own, own, wanted}, {&s.Served, served, wanted}, {&s.Apart, own, served}} {
			d.Distill(unasked, stats, x.logits, x.teacher, targets, 1, 0)
			if err := m.add(x.to, stats, from); err != nil {
				return s, err
			}
		}
	}
	err = m.addGaps(&s.Own, l)
	return s, err
}
