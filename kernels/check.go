package kernels

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// The checks below are an operator's on every device: they panic, naming op, as in
// "cpu: Linear", and both values, unless the shapes agree and each operand has the
// memory that its shape takes, of which a GPU would not tell. They allocate nothing.
// What only one device cannot do, it checks itself.

// CheckEmbed checks the operands of Device.Embed.
func CheckEmbed(op string, out Floats, table Weight, ids Buf[int32]) {
	if table.Type.Quantized() {
		panic(fmt.Sprintf("%s: table is %v, want floats", op, table.Type))
	}
	if out.Rows != ids.N || out.Cols != table.In || out.Stride != quant.Align(out.Cols) {
		panic(fmt.Sprintf("%s: out is [%d, %d] with rows %d apart, for %d ids and a table of [%d, %d]",
			op, out.Rows, out.Cols, out.Stride, ids.N, table.Out, table.In))
	}
	whole(op, "out", out.lack())
	whole(op, "table", table.lack())
}

// CheckRMSNorm checks the operands of Device.RMSNorm.
func CheckRMSNorm(op string, out Rows, x Floats, weight Buf[float32]) {
	if out.N != x.Rows || out.Cols != x.Cols || weight.N < x.Cols || x.Stride%fp.Lanes != 0 {
		panic(fmt.Sprintf("%s: out is [%d, %d], x is [%d, %d] with rows %d apart, weight is [%d]",
			op, out.N, out.Cols, x.Rows, x.Cols, x.Stride, weight.N))
	}
	whole(op, "out", out.lack())
	whole(op, "x", x.lack())
}

// CheckQuantize checks the operands of Device.Quantize.
func CheckQuantize(op string, out Rows, x Floats) {
	if out.N != x.Rows || out.Cols != x.Cols {
		panic(fmt.Sprintf("%s: out is [%d, %d], x is [%d, %d]", op, out.N, out.Cols, x.Rows, x.Cols))
	}
	whole(op, "out", out.lack())
	whole(op, "x", x.lack())
}

// CheckLinear checks the operands of Device.Linear and Device.LinearAdd.
func CheckLinear(op string, out Floats, x Rows, w []Weight) {
	cols := 0
	for i := range w {
		w := &w[i]
		if w.In != x.Cols || quant.Align(w.In) != x.Stride {
			panic(fmt.Sprintf("%s: x is [%d, %d] with rows %d apart, w[%d] takes %d padded to %d",
				op, x.N, x.Cols, x.Stride, i, w.In, quant.Align(w.In)))
		}
		if x.Bits != 16 && !w.Type.Quantized() {
			panic(fmt.Sprintf("%s: x has %d bits, w[%d] is %v: integer rows take int4 or int8", op, x.Bits, i, w.Type))
		}
		if lack := w.lack(); lack != "" {
			whole(op, fmt.Sprintf("w[%d]", i), lack)
		}
		cols += w.Out
	}
	if out.Rows != x.N || out.Cols != cols {
		panic(fmt.Sprintf("%s: out is [%d, %d], x · wᵀ is [%d, %d]", op, out.Rows, out.Cols, x.N, cols))
	}
	whole(op, "out", out.lack())
	whole(op, "x", x.lack())
}

// CheckRoPEAppendKV checks the operands of Device.RoPEAppendKV, and returns the number
// of query heads.
func CheckRoPEAppendKV(op string, q Rows, kv KVCache, qkv Floats, b *Batch, rope RoPE) (heads int) {
	whole(op, "cache", kv.lack())
	heads = qkv.Cols/kv.HeadDim - 2*kv.KVHeads
	if heads < 1 || qkv.Cols%kv.HeadDim != 0 || qkv.Rows != b.T || q.N != b.T*heads || q.Cols != kv.HeadDim || rope.HeadDim != kv.HeadDim {
		panic(fmt.Sprintf("%s: q is [%d, %d], qkv [%d, %d], batch %d tokens, cache %d heads of %d, rope for %d",
			op, q.N, q.Cols, qkv.Rows, qkv.Cols, b.T, kv.KVHeads, kv.HeadDim, rope.HeadDim))
	}
	if b.Positions.N < b.T || b.Slots.N < b.T {
		panic(fmt.Sprintf("%s: %d positions and %d slots for %d tokens", op, b.Positions.N, b.Slots.N, b.T))
	}
	whole(op, "q", q.lack())
	whole(op, "qkv", qkv.lack())
	whole(op, "rope", rope.lack())
	return heads
}

// CheckPagedAttention checks the operands of Device.PagedAttention, and returns the
// number of query heads.
func CheckPagedAttention(op string, out Floats, q Rows, kv KVCache, b *Batch, rope RoPE) (heads int) {
	whole(op, "cache", kv.lack())
	heads = out.Cols / kv.HeadDim
	if heads < 1 || heads%kv.KVHeads != 0 || out.Cols%kv.HeadDim != 0 || out.Rows != b.T || q.N != b.T*heads || q.Cols != kv.HeadDim {
		panic(fmt.Sprintf("%s: out is [%d, %d], q [%d, %d], batch %d tokens, cache %d heads of %d",
			op, out.Rows, out.Cols, q.N, q.Cols, b.T, kv.KVHeads, kv.HeadDim))
	}
	if q.Bits != 16 && (!kv.Quantized() || kv.RotateOnRead()) {
		panic(fmt.Sprintf("%s: queries of %d bits with a cache of %d bits, scheme %s", op, q.Bits, kv.Bits, kv.Scheme))
	}
	if kv.RotateOnRead() {
		if rope.HeadDim != kv.HeadDim {
			panic(fmt.Sprintf("%s: rope for heads of %d, cache of %d", op, rope.HeadDim, kv.HeadDim))
		}
		whole(op, "rope", rope.lack())
	}
	if b.Positions.N < b.T || b.QueryStart.N < b.S+1 || b.SeqLens.N < b.S || b.PageTable.N < b.S*b.MaxPages {
		panic(fmt.Sprintf("%s: %d positions for %d tokens; %d starts, %d lengths and %d pages for %d sequences of up to %d",
			op, b.Positions.N, b.T, b.QueryStart.N, b.SeqLens.N, b.PageTable.N, b.S, b.MaxPages))
	}
	whole(op, "out", out.lack())
	whole(op, "q", q.lack())
	return heads
}

// CheckSwiGLU checks the operands of Device.SwiGLU.
func CheckSwiGLU(op string, out Rows, gateUp Floats) {
	if out.N != gateUp.Rows || 2*out.Cols != gateUp.Cols {
		panic(fmt.Sprintf("%s: out is [%d, %d], gateUp is [%d, %d]", op, out.N, out.Cols, gateUp.Rows, gateUp.Cols))
	}
	whole(op, "out", out.lack())
	whole(op, "gateUp", gateUp.lack())
}

// CheckGather checks the operands of Device.Gather.
func CheckGather(op string, out, x Floats, rows Buf[int32]) {
	if out.Rows != rows.N || out.Cols != x.Cols {
		panic(fmt.Sprintf("%s: out is [%d, %d], x is [%d, %d], rows are [%d]", op, out.Rows, out.Cols, x.Rows, x.Cols, rows.N))
	}
	whole(op, "out", out.lack())
	whole(op, "x", x.lack())
}
