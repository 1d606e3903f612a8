package nn

import "github.com/llmqat/llmqat/kernels"

// round rounds activations x in place, in groups of each row, where they are rounded
// at all. raw, unless it is empty, keeps them as they were.
func (s *shape) round(p *pass, x, raw kernels.Floats, groups, bits int) {
	if bits == 16 {
		return
	}
	p.keep(raw, x)
	if s.released {
		p.dev.FakeQuantizeReleased(x, x, bits)
	} else {
		p.dev.FakeQuantize(x, x, groups, bits)
	}
	p.watch.after(p.dev, x, false)
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
