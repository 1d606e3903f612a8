// Package kernels holds the operators of a LLaMA forward pass: the device
// interface that models call, and the typed device tensors they pass. It knows
// numbers and memory, not models, files or requests.
package kernels

import (
	"fmt"
	"unsafe"

	"github.com/llmqat/llmqat/kernels/quant"
)

// Elem is a type that a device buffer may hold. Float16s are uint16.
type Elem interface {
	int8 | uint8 | uint16 | int32 | float32
}

// Mem is a region of one device's memory. Only the device that made it can look inside.
type Mem interface{ Bytes() int }

// Buf is a typed view of N elements of device memory. It is no Go slice: host
// code reaches its contents by Upload and Download alone.
type Buf[T Elem] struct {
	Mem Mem
	Off int // bytes
	N   int // elements
}

// Slice returns the elements [from, to) of b.
func (b Buf[T]) Slice(from, to int) Buf[T] {
	if from < 0 || to < from || to > b.N {
		panic(fmt.Sprintf("kernels: slice [%d:%d] of a buffer of %d", from, to, b.N))
	}
	return Buf[T]{b.Mem, b.Off + from*SizeOf[T](), to - from}
}

// SizeOf is the size in bytes of one T.
func SizeOf[T Elem]() int { var t T; return int(unsafe.Sizeof(t)) }

// Alloc returns n zeroed elements of m's memory.
func Alloc[T Elem](m Memory, n int) (Buf[T], error) {
	mem, err := m.Alloc(n * SizeOf[T]())
	return Buf[T]{Mem: mem, N: n}, err
}

// Upload copies src to the start of dst.
func Upload[T Elem](m Memory, dst Buf[T], src []T) {
	if len(src) > dst.N {
		panic(fmt.Sprintf("kernels: upload of %d elements to %d", len(src), dst.N))
	}
	m.Upload(dst.Mem, dst.Off, bytesOf(src))
}

// Download copies the start of src to dst, and waits for the operators before it.
func Download[T Elem](m Memory, dst []T, src Buf[T]) {
	if len(dst) > src.N {
		panic(fmt.Sprintf("kernels: download of %d elements from %d", len(dst), src.N))
	}
	m.Download(bytesOf(dst), src.Mem, src.Off)
}

func bytesOf[T Elem](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*SizeOf[T]())
}

// Floats is a [Rows, Cols] float32 matrix whose rows start Stride elements apart.
// Where a linear layer reads it, Stride is Cols padded to quant.RowAlign and the
// padding is zero.
type Floats struct {
	Buf[float32]
	Rows, Cols, Stride int
}

// NewFloats returns a zeroed matrix with padded rows.
func NewFloats(m Memory, rows, cols int) (Floats, error) {
	f := Floats{Rows: rows, Cols: cols, Stride: quant.Align(cols)}
	var err error
	f.Buf, err = Alloc[float32](m, rows*f.Stride)
	return f, err
}

// First returns the first n rows of f.
func (f Floats) First(n int) Floats { return f.Part(0, n) }

// Part returns the rows [from, to) of f.
func (f Floats) Part(from, to int) Floats {
	if to > f.Rows {
		panic(fmt.Sprintf("kernels: rows %d to %d of %d", from, to, f.Rows))
	}
	f.Rows, f.Buf = to-from, f.Buf.Slice(from*f.Stride, to*f.Stride)
	return f
}

// Copy copies src to the start of dst, which does not overlap it.
func Copy[T Elem](m Memory, dst, src Buf[T]) {
	if src.N > dst.N {
		panic(fmt.Sprintf("kernels: copy of %d elements to %d", src.N, dst.N))
	}
	m.CopyMem(dst.Mem, dst.Off, src.Mem, src.Off, src.N*SizeOf[T]())
}

// UploadFloats copies src [f.Rows, f.Cols], rows without padding, to f.
func UploadFloats(m Memory, f Floats, src []float32) {
	for i := range f.Rows {
		Upload(m, f.Slice(i*f.Stride, i*f.Stride+f.Cols), src[i*f.Cols:][:f.Cols])
	}
}

// DownloadFloats copies f to dst [f.Rows, f.Cols], rows without padding.
func DownloadFloats(m Memory, dst []float32, f Floats) {
	for i := range f.Rows {
		Download(m, dst[i*f.Cols:][:f.Cols], f.Slice(i*f.Stride, i*f.Stride+f.Cols))
	}
}

// Rows are what a linear layer reads, one row a token, or an attention reads as
// queries, one row per token and head. With Bits 4, 6 or 8 row i stands for
// Q[i]·Scale[i]; with 16 it is F's row i, and Q, Scale and Sum are empty.
type Rows struct {
	Bits            int
	N, Cols, Stride int          // rows, values in each, elements from row to row; the padding is zero
	Q               Buf[int8]    // [N, Stride]
	Scale           Buf[float32] // [N]
	Sum             Buf[int32]   // [N] Σ of the row's Q
	F               Floats       // [N, Cols], the same Stride
}

// NewRows returns n zeroed rows of cols values with rows padded to quant.RowAlign.
func NewRows(m Memory, n, cols, bits int) (Rows, error) {
	return newRows(m, n, cols, quant.Align(cols), bits)
}

// NewQueries returns n zeroed rows of headDim values, not padded.
func NewQueries(m Memory, n, headDim, bits int) (Rows, error) {
	return newRows(m, n, headDim, headDim, bits)
}

func newRows(m Memory, n, cols, stride, bits int) (Rows, error) {
	r := Rows{Bits: bits, N: n, Cols: cols, Stride: stride}
	var err error
	if bits == 16 {
		r.F = Floats{Rows: n, Cols: cols, Stride: stride}
		r.F.Buf, err = Alloc[float32](m, n*stride)
		return r, err
	}
	if r.Q, err = Alloc[int8](m, n*stride); err != nil {
		return r, err
	}
	if r.Scale, err = Alloc[float32](m, n); err != nil {
		return r, err
	}
	r.Sum, err = Alloc[int32](m, n)
	return r, err
}

// First returns the first n rows of r.
func (r Rows) First(n int) Rows { return r.Part(0, n) }

// Part returns the rows [from, to) of r.
func (r Rows) Part(from, to int) Rows {
	if to > r.N {
		panic(fmt.Sprintf("kernels: rows %d to %d of %d", from, to, r.N))
	}
	r.N = to - from
	if r.Bits == 16 {
		r.F = r.F.Part(from, to)
		return r
	}
	r.Q, r.Scale, r.Sum = r.Q.Slice(from*r.Stride, to*r.Stride), r.Scale.Slice(from, to), r.Sum.Slice(from, to)
	return r
}

// WeightType is how the elements of a Weight are stored.
type WeightType uint8

const (
	Int4     WeightType = iota // quant.PackInt4, one float32 scale a row
	Int8                       // one float32 scale a row
	Float16                    // no scale
	BFloat16                   // no scale
	Float32                    // no scale
)

func (t WeightType) String() string {
	return [...]string{"int4", "int8", "float16", "bfloat16", "float32"}[t]
}

// Quantized reports whether t has a scale a row.
func (t WeightType) Quantized() bool { return t <= Int8 }

// RowBytes is the size of a row of in inputs, its padding to quant.RowAlign included.
func (t WeightType) RowBytes(in int) int {
	return quant.Align(in) * [...]int{1, 2, 4, 4, 8}[t] / 2
}

// Weight is a linear layer's matrix, one row an output channel, or the embedding
// table, one row a token id. Rows are padded with zeros to quant.RowAlign inputs.
type Weight struct {
	Type    WeightType
	Data    Buf[uint8]   // [Out, Type.RowBytes(In)]
	Scale   Buf[float32] // [Out], for Int4 and Int8
	Out, In int
}

const (
	// PageTokens is the number of tokens of one KV page.
	PageTokens = 64
	// MaxHeadDim bounds KVCache.HeadDim, which is even.
	MaxHeadDim = 256
)

// KVCache is one layer's K and V in pages. A token's slot is page·PageTokens + offset.
// Within a page, a head's 64 vectors stand one after another, so that attention
// streams them.
type KVCache struct {
	quant.KV
	K, V                    Buf[uint8]  // [Pages, KVHeads, PageTokens, VectorBytes(HeadDim)]
	KScale, VScale          Buf[uint16] // [Pages, Groups(KVHeads), PageTokens] float16; empty where not quantized
	KZero, VZero            Buf[uint16] // the same shape; empty unless HasZero
	Pages, KVHeads, HeadDim int
}

// NewKVCache returns a cache of pages zeroed pages.
func NewKVCache(m Memory, format quant.KV, pages, kvHeads, headDim int) (KVCache, error) {
	c := KVCache{KV: format, Pages: pages, KVHeads: kvHeads, HeadDim: headDim}
	n := pages * PageTokens
	for _, b := range []*Buf[uint8]{&c.K, &c.V} {
		var err error
		if *b, err = Alloc[uint8](m, n*kvHeads*format.VectorBytes(headDim)); err != nil {
			return c, err
		}
	}
	scales := []*Buf[uint16]{&c.KScale, &c.VScale}
	if format.HasZero() {
		scales = append(scales, &c.KZero, &c.VZero)
	}
	for _, b := range scales {
		var err error
		if *b, err = Alloc[uint16](m, n*format.Groups(kvHeads)); err != nil {
			return c, err
		}
	}
	return c, nil
}

// CopyPage makes page dst what page src is.
func (c *KVCache) CopyPage(m Memory, dst, src int32) {
	copyPage(m, c.K, c.Pages, dst, src)
	copyPage(m, c.V, c.Pages, dst, src)
	for _, b := range [...]Buf[uint16]{c.KScale, c.VScale, c.KZero, c.VZero} {
		copyPage(m, b, c.Pages, dst, src)
	}
}

func copyPage[T Elem](m Memory, b Buf[T], pages int, dst, src int32) {
	if n := b.N / pages; n > 0 {
		Copy(m, b.Slice(int(dst)*n, int(dst+1)*n), b.Slice(int(src)*n, int(src+1)*n))
	}
}

// Batch says which tokens of which sequences one forward pass runs over. T is the
// number of tokens, S of sequences; prefill and decode tokens may be mixed. The
// tokens of a sequence stand together, in order, and are its last ones: Positions
// must agree with SeqLens and QueryStart, so that sequence s's last token in this
// pass, QueryStart[s+1]-1, has position SeqLens[s]-1, and those before it count down.
type Batch struct {
	Tokens         Buf[int32] // [T] token ids
	Positions      Buf[int32] // [T] position of each token in its sequence
	Slots          Buf[int32] // [T] KV slot that each token is written to
	QueryStart     Buf[int32] // [S+1] prefix sums of the sequences' tokens in this pass
	SeqLens        Buf[int32] // [S] tokens of context, this pass included
	PageTable      Buf[int32] // [S, MaxPages] page of each 64 positions, -1 past the end
	T, S, MaxPages int
}

// RoPE holds the rotations of each position: Cos and Sin [Positions, HeadDim/2].
// Element i of a head is rotated with element i + HeadDim/2.
type RoPE struct {
	Cos, Sin           Buf[float32]
	Positions, HeadDim int
}
