package cpu

import "github.com/llmqat/llmqat/kernels"

// attentionKernels are the inner loops of attention over the KV cache.
type attentionKernels struct{}

var attentionGeneric, attentionAVX2, attentionNEON attentionKernels

type attentionTask struct{}

func (d *Device) RoPEAppendKV(q kernels.Rows, kv kernels.KVCache, qkv kernels.Floats, b *kernels.Batch, rope kernels.RoPE) {
}
func (d *Device) PagedAttention(out kernels.Floats, q kernels.Rows, kv kernels.KVCache, b *kernels.Batch, rope kernels.RoPE) {
}
