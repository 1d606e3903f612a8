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

// forward adds the layer's attention and MLP to the residual stream p.x.
func (l *layer) forward(p *pass, kv kernels.KVCache) {
	d := p.dev
	d.RMSNorm(p.in, p.x, l.inputNorm, p.eps)
	d.Linear(p.qkv, p.in, l.qkvProj...)
	d.RoPEAppendKV(p.q, kv, p.qkv, p.batch, p.rope)
	d.PagedAttention(p.attn, p.q, kv, p.batch, p.rope)
	if p.attnIn.Bits < 16 { // with 16 it is attn itself
		d.Quantize(p.attnIn, p.attn)
	}
	d.LinearAdd(p.x, p.attnIn, l.oProj)

	d.RMSNorm(p.in, p.x, l.postAttentionNorm, p.eps)
	d.Linear(p.gateUp, p.in, l.gateUpProj...)
	d.SwiGLU(p.ff, p.gateUp)
	d.LinearAdd(p.x, p.ff, l.downProj)
}
