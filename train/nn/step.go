package nn

import "github.com/llmqat/llmqat/kernels"

// forward computes hidden states up to what lm_head reads.
func (m *Model) forward(b Batch) { m.forwardBeside(nil, b, Loss{}) }

// forwardBeside does the same behind a teacher, unless that is nil, and compares each
// layer with that one's as far as the loss has weights for it.
func (m *Model) forwardBeside(teacher *Model, b Batch, l Loss) {
	if teacher != nil {
		teacher.forward(b)
	}
	m.load(b)
	m.clearGaps(l)
	p := &m.pass
	m.dev.Embed(p.x[0], m.embed.table(), p.ids)
	for i := range m.layers {
		m.layers[i].forward(p, m.actsOf(i), p.x[i+1], p.x[i])
		m.layers[i].compareAttention(p, kernels.Floats{}, kernels.Floats{}, m.actsOf(i), l.attention(teacher, i))
		m.compareHidden(i, kernels.Floats{}, teacher, l)
	}
	m.norm.forward(m.dev, p.out, p.x[len(m.layers)])
	p.read = m.shape.round(p, p.serving.rows.out, p.out, kernels.Floats{}, m.o.Quantization.LMHeadActivationBits())
}

// logits sets dst to those of the pass's tokens from the given one on.
func (m *Model) logits(dst kernels.Floats, from int) {
	m.head.forward(m.dev, dst, m.pass.read.Part(from, from+dst.Rows), false)
}

// actsOf is where layer i keeps what its backward needs.
func (m *Model) actsOf(i int) *acts { return &m.pass.acts[i%len(m.pass.acts)] }

// Evaluate compares the model with a teacher on b: attention and hidden states, too, where
// the loss has weights for them. Prepare came before.
func (m *Model) Evaluate(teacher *Model, b Batch, l Loss) (Stats, error) {
	m.forwardBeside(teacher, b, l)
	s, err := m.distill(teacher, l, false)
	if err == nil {
		err = m.addGaps(&s, l)
	}
	return s, err
}

// Step adds to the gradients those of the loss. Prepare came before.
func (m *Model) Step(teacher *Model, b Batch, l Loss) (Stats, error) {
	teacher.forward(b)
	m.forward(b)
	return m.learn(teacher, teacher, l)
}

// learn goes backward from the comparison of logits with what is wanted, and of layers with
// the teacher's.
func (m *Model) learn(wanted target, teacher *Model, l Loss) (Stats, error) {
	s, err := m.distill(wanted, l, true)
	if err == nil {
		m.clearGaps(l)
		m.backward(teacher, l)
		err = m.addGaps(&s, l)
	}
	return s, err
}

// distill compares logits some rows at a time; where train, it turns them into the
// gradient of lm_head's input in p.dx.
func (m *Model) distill(wanted target, l Loss, train bool) (Stats, error) {
	var sum Stats
	p := &m.pass
	for from := 0; from < p.ids.N; from += headRows {
		n := min(headRows, p.ids.N-from)
		logits, stats := p.logits.First(n), p.stats.First(n)
		m.logits(logits, from)
		wanted.compare(m, logits, stats, from, l)
		if train {
			m.head.backward(m.dev, p.dx.Part(from, from+n), logits, p.out.Part(from, from+n))
		}
		if err := m.add(&sum, stats, from); err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// add adds to sum what the device measured of the pass's rows from the given one on.
func (m *Model) add(sum *Stats, stats kernels.Floats, from int) error {
	host := m.hostStats[:stats.Rows*stats.Stride]
	kernels.Download(m.dev, host, stats.Buf)
	if err := m.dev.Sync(); err != nil {
		return err
	}
	for i, target := range m.packer.targets[from : from+stats.Rows] {
		if target >= 0 {
			v := host[i*stats.Stride:][:4]
			sum.Add(Stats{Tokens: 1, KL: float64(v[0]), CE: float64(v[1]), TeacherCE: float64(v[2]), Same: float64(v[3])})
		}
	}
	return nil
}

// backward goes from the gradient of lm_head's input in p.dx down to the embedding.
func (m *Model) backward(teacher *Model, l Loss) {
	d, p := m.dev, &m.pass
	last := len(m.layers)
	d.Copy(p.grads.in, p.dx)
	d.Clear(p.dx)
	m.norm.backward(d, p.dx, p.grads.in, p.x[last])
	for i := last - 1; i >= 0; i-- {
		a := m.actsOf(i)
		if len(p.acts) == 1 && i < last-1 {
			m.layers[i].forward(p, a, p.x[i+1], p.x[i])
		}
		m.compareHidden(i, p.dx, teacher, l)
		m.layers[i].backward(p, a, p.dx, p.x[i], l.attention(teacher, i))
	}
	d.EmbedGrad(m.embed.Grad, p.dx, p.ids)
}
