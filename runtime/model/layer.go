package model

import "github.com/llmqat/llmqat/kernels"

// layer is one decoder layer's weights.
type layer struct {
	inputNorm, postAttentionNorm kernels.Buf[float32]
	qkvProj, gateUpProj          []kernels.Weight // those of one input, together
	oProj, downProj              kernels.Weight
}

// pass is what the layers of one forward pass share.
type pass struct {
	dev kernels.Device
	*scratch
	batch *kernels.Batch
	rope  kernels.RoPE
	eps   float32
}

// attend appends the layer's K and V and sets p.attn to its attention.
func (l *layer) attend(p *pass, kv kernels.KVCache) {
	d := p.dev
	d.RMSNorm(p.in, p.x, l.inputNorm, p.eps)
	d.Linear(p.qkv, p.in, l.qkvProj...)
	d.RoPEAppendKV(p.q, kv, p.qkv, p.batch, p.rope)
	d.PagedAttention(p.attn, p.q, kv, p.batch, p.rope)
}

// feed adds attention's projection and the MLP to the residual stream p.x.
func (l *layer) feed(p *pass) {
	d := p.dev
	if p.attnIn.Bits < 16 { // with 16 it is attn itself
		d.Quantize(p.attnIn, p.attn)
	}
	d.LinearAdd(p.x, p.attnIn, l.oProj)

	d.RMSNorm(p.in, p.x, l.postAttentionNorm, p.eps)
	d.Linear(p.gateUp, p.in, l.gateUpProj...)
	d.SwiGLU(p.ff, p.gateUp)
	d.LinearAdd(p.x, p.ff, l.downProj)
}

// pick leaves only the given rows of the pass, which are in the device's memory, too.
func (p *pass) pick(rows []int32, onDevice kernels.Buf[int32]) {
	if n := len(rows); n < p.batch.T || !inOrder(rows) {
		p.dev.Gather(p.pickedX.First(n), p.x, onDevice)
		p.dev.Gather(p.pickedAttn.First(n), p.attn, onDevice)
		p.x, p.attn = p.pickedX, p.pickedAttn
		if p.attnIn.Bits == 16 {
			p.attnIn.F = p.attn
		}
		*p.scratch = p.first(n)
	}
}

// inOrder reports whether rows are 0, 1, 2 and so on.
func inOrder(rows []int32) bool {
	for i, r := range rows {
		if int(r) != i {
			return false
		}
	}
	return true
}
