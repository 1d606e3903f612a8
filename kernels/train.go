package kernels

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels/quant"
)

// TrainDevice is a device with the operators of training, all on float32: each one's
// gradient is beside it. Inference does not reach them. As with Device, operators are
// queued, shape mismatches panic, and Sync returns the first failure. A matrix may be
// some columns of another (Floats.Columns).
//
// The order of float operations depends on shapes alone, not on the number of
// threads, so that a run can be repeated and resumed bit for bit.
//
// Fake quantization (arXiv:2305.17888) sets values to what the serving operators'
// integers stand for, by the same definitions in package quant. Its gradient is taken
// straight through: that of the quantized value is that of the value.
type TrainDevice interface {
	Device

	// MatMul sets c [M, N] to op(a) · op(b), or adds that to c. Sums go over blocks of
	// fp.Block: within one a chain of FMA from 0, in order; block after block is added.
	MatMul(c, a, b Floats, op MatMulOp, add bool)

	// Clear sets x to 0, and Copy dst to src.
	Clear(x Floats)
	Copy(dst, src Floats)

	// FakeQuantize sets out [T, groups·H] to x, each group of each row as
	// quant.Activations has it: one for activations, the heads for queries. out may be
	// x. It fails with quant.ErrNotFinite and the row.
	FakeQuantize(out, x Floats, groups, bits int)

	// Dequantize sets out [N, Cols] to what the integers of x stand for.
	Dequantize(out Floats, x Rows)

	// FakeQuantizeReleased sets each row of out [T, H] to quant.Released of x's: what
	// LLM-QAT's released code trains with, and nothing serves. out may be x. It fails with
	// quant.ErrNotFinite and the row.
	FakeQuantizeReleased(out, x Floats, bits int)

	// WeightSteps sets step [Out] to quant.WeightScale of w's rows.
	WeightSteps(step Buf[float32], w Floats, bits int)

	// FakeQuantizeWeight sets out [Out, In] to w, quantized by a step a row to all of
	// quant.WeightRange.
	FakeQuantizeWeight(out, w Floats, step Buf[float32], bits int)

	// PackWeight sets w to the weights x [Out, In] as a .qat file holds them: integers by
	// the steps that w.Scale holds, in all of quant.WeightRange, or floats of w's type,
	// rounded to nearest. It fails with quant.ErrNotFinite and the row where x holds
	// what the type cannot.
	PackWeight(w Weight, x Floats)

	// FakeQuantizeWeightGrad turns dw, the gradient of quantized weights, into that of w,
	// and sets dstep to that of the steps (LSQ, arXiv:1902.08153): outside of the range
	// weights have none; dstep = Σ dw·(round(v)-v), v = w/step, and there lo or hi for
	// the bracket; times 1/√(In·hi).
	FakeQuantizeWeightGrad(dw Floats, dstep Buf[float32], w Floats, step Buf[float32], bits int)

	// FakeQuantizeKV sets k or v [T, kvHeads·HeadDim] to what the cache gives back:
	// quant.KV.KVStore and KVLoad. It fails with quant.ErrNotFinite and the row where that
	// cannot be held: float16 has no such number.
	FakeQuantizeKV(x Floats, format quant.KV, kvHeads int)

	// GateGrad sets dx to 0 where |x| is limit or more, as LLM-QAT's released code does with
	// the gradient of what it rounds; x are the values before rounding.
	GateGrad(dx, x Floats, limit float32)

	// Rotate turns x [T, heads·HeadDim] by the tokens' positions as RoPEAppendKV does, or
	// back, which is the gradient of it.
	Rotate(x Floats, positions Buf[int32], rope RoPE, back bool)

	// RMSNormGrad adds to dx [T, H] and dw [H] the gradients of RMSNorm, given dy.
	RMSNormGrad(dx Floats, dw Buf[float32], dy, x Floats, w Buf[float32], eps float32)

	// SwiGLUGrad sets dGateUp [T, 2F] to the gradient of SwiGLU, given dy [T, F].
	SwiGLUGrad(dGateUp, dy, gateUp Floats)

	// CausalAttention sets out [T, heads·HeadDim] to softmax(q·kᵀ/√HeadDim)·v of each
	// sequence by itself: k and v [T, kvHeads·HeadDim]. stats [T, 2·heads] keeps the
	// rows' maxima and sums. With out empty it sets stats alone.
	CausalAttention(out, stats, q, k, v Floats, s Sequences)

	// CausalAttentionGrad sets dq, dk and dv, given dout, and stats as CausalAttention does.
	CausalAttentionGrad(dq, dk, dv, dout, stats, q, k, v Floats, s Sequences)

	// EmbedGrad adds row i of dout to row ids[i] of dTable, in order.
	EmbedGrad(dTable, dout Floats, ids Buf[int32])

	// Distill compares the distributions of logits [T, vocab] with the teacher's. It sets
	// dLogits, which may be logits, to the gradient of
	//
	//	weight · Σ rows (soft·KL(teacher ‖ student) + (1-soft)·(-ln student[target]))
	//
	// and row i of stats [T, 4] to KL(teacher ‖ student), -ln student[target],
	// -ln teacher[target] and 1 where both have the same largest logit. A target of -1
	// counts neither in the loss nor in stats.
	Distill(dLogits, stats, logits, teacher Floats, targets Buf[int32], soft, weight float32)

	// DistillTopK is Distill with a teacher of which k tokens' probabilities are known: of row
	// i ids[i·k:(i+1)·k], all different, the likeliest first. teacher [T, k+1] has their
	// logarithms and that of what all others have together, -Inf where k is the whole
	// vocabulary. KL is over those k+1 classes, and the teacher's -ln of a target among the
	// others that of their class, the least that it can be.
	DistillTopK(dLogits, stats, logits, teacher Floats, ids, targets Buf[int32], soft, weight float32)

	// DistillAttention compares the weights of CausalAttention, which its stats belong to,
	// with a teacher's: to gaps [T, heads] it adds KL(teacher ‖ student) of each token and
	// head, over the tokens that it sees, and to dq and dk the gradient of weight · Σ gaps.
	// With dq and dk empty it measures alone.
	DistillAttention(dq, dk, gaps Floats, student, teacher Attended, s Sequences, weight float32)

	// DistillHidden compares x [T, H] with a teacher's: to gaps [T, 1] it adds each row's
	// Σ(x-teacher)²/Σteacher², and to dx the gradient of weight · Σ gaps. With dx empty it
	// measures alone. A row that the teacher has all 0 counts nothing.
	DistillHidden(dx, gaps, x, teacher Floats, weight float32)

	// RowSquares sets out [R] to Σx² of x's rows.
	RowSquares(out Buf[float32], x Floats)

	// AdamW does one step of AdamW (arXiv:1711.05101) on w, given its gradient g times
	// o.GradScale; m and v are its moments.
	AdamW(w, g, m, v Floats, o AdamWStep)
}

// MatMulOp says which operand of MatMul is transposed.
type MatMulOp uint8

const (
	MatMulNN MatMulOp = iota // a [M, K], b [K, N]: gradients of a linear layer's input
	MatMulNT                 // a [M, K], b [N, K]: a linear layer
	MatMulTN                 // a [K, M], b [K, N]: gradients of its weights
)

// Sequences cut the tokens of a training pass: sequence s is tokens Start[s] to
// Start[s+1]-1, at most Longest.
type Sequences struct {
	Start   Buf[int32] // [N+1]
	N       int
	Longest int
	HeadDim int
}

// Attended is what CausalAttention's weights follow from.
type Attended struct {
	Q, K  Floats // [T, heads·HeadDim], [T, kvHeads·HeadDim]
	Stats Floats // [T, 2·heads]
}

// AdamWStep are AdamW's numbers at one step t, counted from 1.
type AdamWStep struct {
	LearningRate, Beta1, Beta2, Epsilon, WeightDecay float32
	Correct1, Correct2                               float32 // 1 - Beta1ᵗ, 1 - Beta2ᵗ
	GradScale                                        float32 // what clipping leaves of the gradient
	Least                                            float32 // where above 0: no element falls below it
}

// Columns returns columns [from, to) of f.
func (f Floats) Columns(from, to int) Floats {
	if from < 0 || to < from || to > f.Cols {
		panic(fmt.Sprintf("kernels: columns %d to %d of %d", from, to, f.Cols))
	}
	if f.Rows > 0 {
		f.Buf = f.Buf.Slice(from, (f.Rows-1)*f.Stride+to)
	}
	f.Cols = to - from
	return f
}
