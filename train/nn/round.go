package nn

import "github.com/llmqat/llmqat/kernels"

// round rounds activations x in place, in groups of each row, where they are rounded
// at all.
func (p *pass) round(x kernels.Floats, groups, bits int) {
	if bits == 16 {
		return
	}
	p.watch.before(p.dev, x)
	p.dev.FakeQuantize(x, x, groups, bits)
	p.watch.after(p.dev, x, false)
}

// roundKV rounds k or v in place, as the cache gives them back.
func (l *layer) roundKV(p *pass, x kernels.Floats) {
	p.watch.before(p.dev, x)
	p.dev.FakeQuantizeKV(x, l.kv, l.kvHeads)
	p.watch.after(p.dev, x, true)
}
