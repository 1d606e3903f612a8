package main

import (
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/kernels/quant"
)

// formatFlags choose the number formats of a file to be made.
type formatFlags struct {
	Bits       string `help:"Bits of weights, activations and KV cache: W 4, 8 or 16; A 4, 6, 8 or 16; KV 4, 8 or 16. Unset: 4-8-4." default:"4-8-4" placeholder:"W-A-KV"`
	KVScheme   string `help:"What shares a scale in the KV cache: a token's KV head, with a zero point (head-zp) or without (head), or all of a token (token, the paper's)." enum:"head-zp,head,token" default:"head-zp"`
	LMHeadBits int    `name:"lm-head-bits" help:"Bits of lm_head, 8 or 16. 0: 8, or 16 where W is 16." enum:"0,8,16" default:"0" placeholder:"N"`
	Float      string `help:"Type of the embedding and of what has 16 bits: f32, f16 or bf16. Unset: the model's own where W is 16, else f16, or bf16 where f16 is too narrow." enum:",f32,f16,bf16" default:"" placeholder:"TYPE"`
}

func (f *formatFlags) options() (o convert.Options, err error) {
	if o.Bits, err = quant.ParseBits(f.Bits); err != nil {
		return o, err
	}
	if o.KVScheme, err = quant.ParseKVScheme(f.KVScheme); err != nil {
		return o, err
	}
	o.Float, err = convert.ParseFloat(f.Float)
	o.LMHeadBits, o.CreatedBy = f.LMHeadBits, "llmqat "+version
	return o, err
}
