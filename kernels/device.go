package kernels

import "errors"

// Device runs the operators of a LLaMA forward pass on one kind of hardware.
//
// The set is closed and small on purpose: a method here is work in every device,
// so it has to earn its place by a measurement. Every operator runs over a whole
// batch and gives each row the same bits whatever else is in the batch.
//
// Operators are queued and return nothing. A shape mismatch is a caller's bug and
// panics; a device failure is kept, later operators do nothing, and Sync returns
// it. A Device is used by one goroutine at a time. Integer results are exact;
// package fp defines the order of float operations, which CPUs obey to the bit.
type Device interface {
	Memory

	// Embed sets out [T, H] to the rows ids [T] of a float table [vocab, H], as
	// float32, exactly, padding included.
	Embed(out Floats, table Weight, ids Buf[int32])

	// RMSNorm sets out [T, H] to (x·r)·weight, r = 1/√(Σx²/H + eps)
	// (arXiv:1910.07467), quantized per token where out.Bits < 16. Σx² is fp.Dot(x, x)
	// over the padded row; every other operation is rounded by itself. This, Quantize
	// and SwiGLU zero out's padding, and fail with quant.ErrNotFinite and the row where
	// it holds a NaN or an infinity, here also where Σx² is one.
	RMSNorm(out Rows, x Floats, weight Buf[float32], eps float32)

	// Quantize sets out to x, quantized per token (quant.Activations); with
	// out.Bits 16 it copies.
	Quantize(out Rows, x Floats)

	// Linear sets out [T, ΣOut] to x · wᵀ; the outputs of several weights stand side
	// by side. With integer weights and rows the product is exact in int32 and
	// y = float32(Σ) · (w.Scale·x.Scale). With float rows it is fp.Dot over the
	// weights as float32 (integers q converted exactly), times w.Scale where there
	// is one, unless the device is an ActivationRounder. Integer rows take integer
	// weights only. Callers keep the slice w: a list written out in the call would be
	// allocated each time.
	Linear(out Floats, x Rows, w ...Weight)

	// LinearAdd adds x · wᵀ, computed and rounded as Linear does, to out: the residual
	// connection.
	LinearAdd(out Floats, x Rows, w Weight)

	// RoPEAppendKV splits qkv [T, (heads + 2·KVHeads)·HeadDim], rotates q and k by the
	// tokens' positions, sets q [T·heads, HeadDim], and stores k and v in the
	// batch's slots in the cache's format (quant.KV.KVScale and KVStore, or
	// quant.Float16); formats that rotate on read store k as it is. Rotation:
	// a' = a·cos - b·sin, b' = b·cos + a·sin, every product rounded. With q.Bits < 16
	// queries are quantized per row by quant.Activations. It fails, naming the token,
	// where q, k or v holds a NaN, an infinity or what the format cannot: |k| or |v|
	// above quant.MaxFloat16 with any but float32 entries.
	RoPEAppendKV(q Rows, kv KVCache, qkv Floats, b *Batch, rope RoPE)

	// PagedAttention sets out [T, heads·HeadDim] to causal attention of q over the
	// sequences' pages, with scale 1/√HeadDim. rope is used by formats that rotate
	// on read. q.Bits is 16, or 8 where the cache is quantized and does not rotate on
	// read. Slots past a sequence's end may hold anything, NaNs too. The order of its
	// float operations is cpu.PagedAttention's.
	PagedAttention(out Floats, q Rows, kv KVCache, b *Batch, rope RoPE)

	// SwiGLU sets out [T, F] to fp.SiLU(gate)·up where gateUp is [T, 2F], gate first,
	// quantized per token where out.Bits < 16.
	SwiGLU(out Rows, gateUp Floats)

	// Gather sets row i of out to row rows[i] of x, and its padding to zero.
	Gather(out Floats, x Floats, rows Buf[int32])
}

// Memory moves bytes between host and device.
type Memory interface {
	Name() string // as "cpu/avx2", "cuda/sm_90"
	// Alloc returns zeroed memory, aligned to 64 bytes.
	Alloc(bytes int) (Mem, error)
	// Import returns device memory that holds b. A device that shares the host's
	// memory uses b itself, which must stay as it is until Free. Others copy b, call
	// copied, where it is not nil, with the bytes so far, and fail with ErrFault where b
	// cannot be read.
	Import(b []byte, copied func(bytes int64)) (Mem, error)
	Free(Mem)
	Upload(dst Mem, off int, src []byte)
	// Download waits for queued work first.
	Download(dst []byte, src Mem, off int)
	// CopyMem copies n bytes from src at byte srcOff to dst at byte off, after the operators
	// queued before. Within one memory the two ranges are apart.
	CopyMem(dst Mem, off int, src Mem, srcOff, n int)
	// Sync waits for queued work and returns the first failure since the last Sync, or
	// ErrLost ever after.
	Sync() error
}

// ActivationRounder is a device whose Linear and LinearAdd round the activations of
// float rows before they multiply them, as the tensor cores of GPUs want it, and add the
// products of n inputs, padding included, in an order that depends on n alone. Against
// exact arithmetic the result errs by u·Σ|w·x| for rounding, u = 2^-11 for Float16 (and
// 2^-25·Σ|w| for |x| < 2^-14), 2^-8 for BFloat16, 0 for Float32, and by n·2^-22·Σ|w·x|, for
// Float32 n·2^-20, for adding. A row fails with quant.ErrNotFinite where a result is a NaN
// or an infinity, as it is where an activation is too large for the type: float16 ends at
// 65504.
type ActivationRounder interface {
	// ActivationType is the type, Float16, BFloat16 or Float32, that activations are
	// rounded to, to nearest even, for weights of type w.
	ActivationType(w WeightType) WeightType
}

// OwnMemory is a device whose memory is not the host's, and small enough to be full.
type OwnMemory interface {
	Memory
	// Available is how many bytes Alloc may still take, of how many there are.
	Available() (free, total int64, err error)
	// Measure calls f, whose calls of the device do nothing: memory that f gets is not
	// there, and no operator runs. It returns how many bytes of scratch memory of the
	// device's own those operators would use at a time.
	Measure(f func()) (scratch int64)
	// Reserve allocates that scratch memory, so that operators need not.
	Reserve(scratch int64) error
}

var (
	// ErrFault means that the host's memory could not be read: a model file was
	// truncated, or its disk failed, while it was mapped.
	ErrFault = errors.New("memory fault: was a mapped model file truncated or its disk lost?")
	// ErrLost means that a device will do no more work.
	ErrLost = errors.New("the device is lost, until the process is started again")
)
