package cuda

import (
	"errors"
	"fmt"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// errKV is why a token cannot be stored.
var errKV = fmt.Errorf("a query, key or value beyond what the format holds (|k|, |v| <= %d), or %w", quant.MaxFloat16, quant.ErrNotFinite)

// errSlot is why there is no place to store a token at.
var errSlot = errors.New("its position has no rotation, or the cache has no such slot")

// kvSchemes are the numbers that kv.h has for schemes.
var kvSchemes = map[quant.KVScheme]uint64{quant.KVToken: 0, quant.KVHead: 1, quant.KVHeadZP: 2}

// RoPEAppendKV implements kernels.Device.
func (d *Device) RoPEAppendKV(q kernels.Rows, kv kernels.KVCache, qkv kernels.Floats, b *kernels.Batch, rope kernels.RoPE) {
	heads := kernels.CheckRoPEAppendKV("cuda: RoPEAppendKV", q, kv, qkv, b, rope)
	if b.T == 0 {
		return
	}
	groups := kv.KVHeads
	if kv.Quantized() {
		groups = kv.Groups(kv.KVHeads)
	}
	failed, op := d.check("RoPEAppendKV", errKV)
	_, place := d.check("RoPEAppendKV", errSlot)
	o := paramsOf(q)
	s := shape{ctas: [3]uint32{uint32(b.T), uint32(heads + 2*groups), 1}, threads: threadsFor(kv.KVHeads / groups * kv.HeadDim)}
	d.launch("rope_append_kv", s,
		o.bits, o.q, o.scale, o.sum, o.f, uint64(kv.Bits), kvSchemes[kv.Scheme], uint64(kv.Pages), at(kv.K), at(kv.V), at(kv.KScale), at(kv.VScale), at(kv.KZero), at(kv.VZero),
		uint64(heads), uint64(kv.KVHeads), uint64(kv.HeadDim), at(qkv.Buf), uint64(qkv.Stride), at(b.Positions), at(b.Slots), at(rope.Cos), at(rope.Sin), uint64(rope.Positions),
		failed, op, place)
}
