package nn

import "github.com/llmqat/llmqat/kernels"

// round rounds x in place, where it is rounded at all, and returns it as linear layers
// read it: in the integers of rows, unless those are none. raw, where it is not empty,
// keeps x as it was.
func (s *shape) round(p *pass, rows kernels.Rows, x, raw kernels.Floats, bits int) kernels.Rows {
	if bits == 16 {
		return asRows(x)
	}
	p.keep(raw, x)
	read := asRows(x)
	switch {
	case rows.N > 0:
		p.dev.Quantize(rows, x)
		p.dev.Dequantize(x, rows)
		read = rows
	case s.released:
		p.dev.FakeQuantizeReleased(x, x, bits)
	default:
		p.dev.FakeQuantize(x, x, 1, bits)
	}
	p.watch.after(p.dev, x, false)
	return read
}

// roundQueries rounds q in place, each head by itself, where it is rounded at all.
func (s *shape) roundQueries(p *pass, q kernels.Floats) {
	if s.queryBits == 16 {
		return
	}
	p.watch.before(p.dev, q)
	p.dev.FakeQuantize(q, q, s.heads, s.queryBits)
	p.watch.after(p.dev, q, false)
}

// roundKV rounds k or v in place, as the cache gives them back.
func (s *shape) roundKV(p *pass, x, raw kernels.Floats) {
	p.keep(raw, x)
	if s.released {
		p.dev.FakeQuantizeReleased(x, x, s.kv.Bits)
	} else {
		p.dev.FakeQuantizeKV(x, s.kv, s.kvHeads)
	}
	p.watch.after(p.dev, x, true)
}

// keep notes x for those who need it as it is before it is rounded in place.
func (p *pass) keep(raw, x kernels.Floats) {
	if raw.Rows > 0 {
		p.dev.Copy(raw, x)
	}
	p.watch.before(p.dev, x)
}

// gated clears the gradient dx of what was rounded where it is not to pass; raw is empty
// where it passes everywhere.
func (s *shape) gated(d kernels.TrainDevice, dx, raw kernels.Floats) {
	if raw.Rows > 0 {
		d.GateGrad(dx, raw, s.gate)
	}
}
