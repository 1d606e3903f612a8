package nn

import (
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// shape is what all layers of a model have in common.
type shape struct {
	heads, kvHeads, dim int
	actBits, queryBits  int
	kv                  quant.KV
	gate                float32 // gradients of what is rounded are 0 from |x| = gate on; 0: none are
	released            bool    // rounding is quant.Released
}

func (s *shape) queries() int { return s.heads * s.dim }
func (s *shape) keys() int    { return s.kvHeads * s.dim }

// layer is one decoder layer.
type layer struct {
	*shape
	inputNorm, postNorm    norm
	qkv, out, gateUp, down linear
}

// acts are what a layer's forward leaves for its backward. With a layer's input they
// can be computed again.
type acts struct {
	in     kernels.Floats // [T, H] input of q, k and v, rounded
	qkv    kernels.Floats // [T, queries + 2·keys] turned and rounded
	stats  kernels.Floats // [T, 2·heads] of attention's softmax, once a teacher or a gradient has asked for them
	attn   kernels.Floats // [T, queries] rounded
	mid    kernels.Floats // [T, H] the residual stream behind attention
	ffIn   kernels.Floats // [T, H] input of gate and up, rounded
	gateUp kernels.Floats // [T, 2F]
	ff     kernels.Floats // [T, F] input of down, rounded
	raw    raw
}

// raw is what is rounded as it was before, where gradients are gated by it.
type raw struct{ in, k, v, attn, ffIn, ff kernels.Floats }

// all lists the memory of a.
func (a *acts) all() []*kernels.Floats {
	list := []*kernels.Floats{&a.in, &a.qkv, &a.stats, &a.attn, &a.mid, &a.ffIn, &a.gateUp, &a.ff}
	return append(list, &a.raw.in, &a.raw.k, &a.raw.v, &a.raw.attn, &a.raw.ffIn, &a.raw.ff)
}

// split are q, k and v of a [T, queries + 2·keys].
func (s *shape) split(qkv kernels.Floats) (q, k, v kernels.Floats) {
	n, m := s.queries(), s.queries()+s.keys()
	return qkv.Columns(0, n), qkv.Columns(n, m), qkv.Columns(m, m+s.keys())
}

// forward sets y to the layer's output for x; y may not be x.
func (l *layer) forward(p *pass, a *acts, y, x kernels.Floats) {
	l.forwardTo(WholeLayer, p, a, y, x)
}

// forwardTo is forward up to what a stage reads.
func (l *layer) forwardTo(end Stage, p *pass, a *acts, y, x kernels.Floats) {
	d, rows := p.dev, &p.serving.rows
	l.inputNorm.forward(d, a.in, x)
	in := l.round(p, rows.in, a.in, a.raw.in, l.actBits)
	if end == QKVProj {
		return
	}
	l.qkv.forward(d, a.qkv, in, false)
	l.attend(p, a)
	attn := l.round(p, rows.attn, a.attn, a.raw.attn, l.actBits)
	if end == OProj {
		return
	}
	d.Copy(a.mid, x)
	l.out.forward(d, a.mid, attn, true)

	l.postNorm.forward(d, a.ffIn, a.mid)
	in = l.round(p, rows.in, a.ffIn, a.raw.ffIn, l.actBits)
	if end == GateUpProj {
		return
	}
	l.gateUp.forward(d, a.gateUp, in, false)
	d.SwiGLU(asRows(a.ff), a.gateUp)
	ff := l.round(p, rows.ff, a.ff, a.raw.ff, l.actBits)
	if end == DownProj {
		return
	}
	d.Copy(y, a.mid)
	l.down.forward(d, y, ff, true)
}

// attend sets a.attn to attention, and turns and rounds q, k and v, for the gradient where
// the serving operators do so by themselves.
func (l *layer) attend(p *pass, a *acts) {
	d, s := p.dev, &p.serving
	if s.on {
		d.RoPEAppendKV(s.rows.q, s.kv, a.qkv, &s.batch, p.rope)
		d.PagedAttention(a.attn, s.rows.q, s.kv, &s.batch, p.rope)
	}
	q, k, v := l.split(a.qkv)
	if l.kv.RotateOnRead() {
		l.roundKV(p, k, a.raw.k)
	}
	d.Rotate(q, p.positions, p.rope, false)
	d.Rotate(k, p.positions, p.rope, false)
	if l.kv.Quantized() {
		if !l.kv.RotateOnRead() {
			l.roundKV(p, k, a.raw.k)
		}
		l.roundKV(p, v, a.raw.v)
	}
	l.roundQueries(p, q)
	if !s.on {
		d.CausalAttention(a.attn, a.stats, q, k, v, p.seqs)
	}
}

// backward turns dx, the gradient of the output, into that of the input x, and adds
// to those of the weights; like is what attention is to be like. Rounding is passed
// straight through, but for l.gate.
func (l *layer) backward(p *pass, a *acts, dx, x kernels.Floats, like attentionLike) {
	d, g := p.dev, &p.grads
	l.down.backward(d, g.ff, dx, a.ff)
	l.gated(d, g.ff, a.raw.ff)
	d.SwiGLUGrad(g.gateUp, g.ff, a.gateUp)
	l.gateUp.backward(d, g.in, g.gateUp, a.ffIn)
	l.gated(d, g.in, a.raw.ffIn)
	l.postNorm.backward(d, dx, g.in, a.mid)

	l.out.backward(d, g.attn, dx, a.attn)
	l.gated(d, g.attn, a.raw.attn)
	q, k, v := l.split(a.qkv)
	dq, dk, dv := l.split(g.qkv)
	d.CausalAttentionGrad(dq, dk, dv, g.attn, a.stats, q, k, v, p.seqs)
	l.compareAttention(p, dq, dk, a, like)
	l.gated(d, dv, a.raw.v)
	if !l.kv.RotateOnRead() {
		l.gated(d, dk, a.raw.k)
	}
	d.Rotate(dq, p.positions, p.rope, true)
	d.Rotate(dk, p.positions, p.rope, true)
	if l.kv.RotateOnRead() {
		l.gated(d, dk, a.raw.k)
	}
	l.qkv.backward(d, g.in, g.qkv, a.in)
	l.gated(d, g.in, a.raw.in)
	l.inputNorm.backward(d, dx, g.in, x)
}
