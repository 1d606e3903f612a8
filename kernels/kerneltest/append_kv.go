package kerneltest

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// formats are all KV caches.
var formats = []quant.KV{
	{Bits: 4, Scheme: quant.KVToken}, {Bits: 4, Scheme: quant.KVHead}, {Bits: 4, Scheme: quant.KVHeadZP},
	{Bits: 8, Scheme: quant.KVToken}, {Bits: 8, Scheme: quant.KVHead}, {Bits: 8, Scheme: quant.KVHeadZP},
	{Bits: 16}, {Bits: 32},
}

// headShapes are query heads, KV heads and HeadDim: groups of 1, 4 and 8.
var headShapes = []struct{ heads, kvHeads, dim int }{
	{3, 3, 8}, {8, 2, 32}, {8, 1, 64}, {4, 1, 128}, {2, 2, 48},
}

// rotations is a RoPE and its host copy, [positions, dim/2].
type rotations struct {
	kernels.RoPE
	cos, sin []float32
}

func newRotations(e *env, positions, dim int) *rotations {
	r := &rotations{}
	for p := range positions {
		for i := range dim / 2 {
			s, c := fp.SinCos(float64(p) * fp.Pow(10000, -2*float64(i)/float64(dim)))
			r.cos, r.sin = append(r.cos, float32(c)), append(r.sin, float32(s))
		}
	}
	r.RoPE = kernels.RoPE{Cos: upload(e, r.cos), Sin: upload(e, r.sin), Positions: positions, HeadDim: dim}
	return r
}

// cache returns a cache whose slots hold arbitrary finite numbers, as pages used
// before do.
func (e *env) cache(f quant.KV, pages, kvHeads, dim int) kernels.KVCache {
	kv := must(kernels.NewKVCache(e.dev, f, pages, kvHeads, dim))(e)
	for _, b := range []kernels.Buf[uint8]{kv.K, kv.V} {
		e.mems = append(e.mems, b.Mem)
		kernels.Upload(e.dev, b, filled(b.N, uint8(0x51)))
	}
	for _, b := range []kernels.Buf[uint16]{kv.KScale, kv.VScale, kv.KZero, kv.VZero} {
		if b.N > 0 {
			e.mems = append(e.mems, b.Mem)
			kernels.Upload(e.dev, b, filled(b.N, uint16(0x5151)))
		}
	}
	return kv
}

// hostCache is a cache's contents on the host.
type hostCache struct {
	quant.KV
	heads, dim                   int
	k, v                         []uint8
	kScale, vScale, kZero, vZero []uint16
}

func (e *env) read(kv kernels.KVCache) *hostCache {
	h := &hostCache{KV: kv.KV, heads: kv.KVHeads, dim: kv.HeadDim, k: download(e, kv.K), v: download(e, kv.V)}
	if kv.Quantized() {
		h.kScale, h.vScale = download(e, kv.KScale), download(e, kv.VScale)
	}
	if kv.HasZero() {
		h.kZero, h.vZero = download(e, kv.KZero), download(e, kv.VZero)
	}
	return h
}

func (e *env) write(kv kernels.KVCache, h *hostCache) {
	kernels.Upload(e.dev, kv.K, h.k)
	kernels.Upload(e.dev, kv.V, h.v)
	if kv.Quantized() {
		kernels.Upload(e.dev, kv.KScale, h.kScale)
		kernels.Upload(e.dev, kv.VScale, h.vScale)
	}
	if kv.HasZero() {
		kernels.Upload(e.dev, kv.KZero, h.kZero)
		kernels.Upload(e.dev, kv.VZero, h.vZero)
	}
}

// at is where the bytes of one head's vector in a slot start.
func (h *hostCache) at(head, slot int) int {
	page, off := slot/kernels.PageTokens, slot%kernels.PageTokens
	return ((page*h.heads+head)*kernels.PageTokens + off) * h.VectorBytes(h.dim)
}

// scaleAt is where a group's scale of a slot stands.
func (h *hostCache) scaleAt(group, slot int) int {
	page, off := slot/kernels.PageTokens, slot%kernels.PageTokens
	return (page*h.Groups(h.heads)+group)*kernels.PageTokens + off
}

// put stores one token's K or V [heads, dim] by package quant's definitions. ok is
// false where it cannot be stored.
func (h *hostCache) put(data []uint8, scales, zeros []uint16, slot int, x []float32) (ok bool) {
	if !h.Quantized() {
		for head := range h.heads {
			dst := data[h.at(head, slot):]
			for i, v := range x[head*h.dim:][:h.dim] {
				if h.Bits == 16 {
					binary.LittleEndian.PutUint16(dst[2*i:], quant.Float16(v))
				} else {
					binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
				}
			}
		}
		return true
	}
	groups := h.Groups(h.heads)
	per := h.heads / groups
	for g := range groups {
		scale, zero, ok := h.KVScale(quant.MinMax(x[g*per*h.dim:][:per*h.dim]))
		if !ok {
			return false
		}
		scales[h.scaleAt(g, slot)] = scale
		if h.HasZero() {
			zeros[h.scaleAt(g, slot)] = zero
		}
		for head := g * per; head < (g+1)*per; head++ {
			h.KVStore(data[h.at(head, slot):][:h.VectorBytes(h.dim)], x[head*h.dim:][:h.dim], scale, zero)
		}
	}
	return true
}

// rotate rotates one head in float32, each product rounded.
func rotate(x []float32, cos, sin []float32) []float32 {
	half := len(x) / 2
	y := make([]float32, len(x))
	for i := range half {
		a, b := x[i], x[i+half]
		y[i] = float32(a*cos[i]) - float32(b*sin[i])
		y[i+half] = float32(b*cos[i]) + float32(a*sin[i])
	}
	return y
}

// testAppendKV: rotation is defined to the bit, so everything is exact: queries,
// what the slots hold, and that no other slot changed.
func testAppendKV(e *env) {
	const positions, pages = 200, 3
	for _, s := range headShapes {
		rope := newRotations(e, positions, s.dim)
		half := s.dim / 2
		for _, f := range formats {
			for _, qBits := range []int{8, 16} {
				for _, tokens := range []int{1, 9, 37} {
					name := fmt.Sprintf("%+v, %d queries, %d tokens, q %d bits", f, s.heads, tokens, qBits)
					x := e.normal(tokens * (s.heads + 2*s.kvHeads) * s.dim)
					if tokens > 1 {
						clear(x[:(s.heads+2*s.kvHeads)*s.dim]) // a token of zeros
						for i := range s.dim {
							x[len(x)-1-i] = 1e-7 // a scale that underflows
						}
					}
					var pos, slots []int32
					for i, p := range e.rand.Perm(pages * kernels.PageTokens)[:tokens] {
						pos, slots = append(pos, int32((i*41)%positions)), append(slots, int32(p))
					}
					kv := e.cache(f, pages, s.kvHeads, s.dim)
					want := e.read(kv)
					q := e.queries(tokens*s.heads, s.dim, qBits)
					batch := &kernels.Batch{T: tokens, Positions: upload(e, pos), Slots: upload(e, slots)}
					e.dev.RoPEAppendKV(q, kv, e.floats(x, tokens, len(x)/tokens), batch, rope.RoPE)

					var queries []float32
					for t, slot := range slots {
						c, s2 := rope.cos[int(pos[t])*half:][:half], rope.sin[int(pos[t])*half:][:half]
						row := x[t*len(x)/tokens:][:len(x)/tokens]
						for h := range s.heads {
							queries = append(queries, rotate(row[h*s.dim:][:s.dim], c, s2)...)
						}
						k, v := row[s.heads*s.dim:][:s.kvHeads*s.dim], row[(s.heads+s.kvHeads)*s.dim:]
						if !f.RotateOnRead() {
							var rotated []float32
							for h := range s.kvHeads {
								rotated = append(rotated, rotate(k[h*s.dim:][:s.dim], c, s2)...)
							}
							k = rotated
						}
						want.put(want.k, want.kScale, want.kZero, int(slot), k)
						want.put(want.v, want.vScale, want.vZero, int(slot), v)
					}
					e.checkQueries(name, q, queries)
					got := e.read(kv)
					equal(e, name+": K", got.k, want.k)
					equal(e, name+": V", got.v, want.v)
					equal(e, name+": K scales", got.kScale, want.kScale)
					equal(e, name+": V scales", got.vScale, want.vScale)
					equal(e, name+": K zeros", got.kZero, want.kZero)
					equal(e, name+": V zeros", got.vZero, want.vZero)
				}
			}
		}
	}
	testAppendRange(e)
}

// checkQueries compares q with the rotated queries, exactly.
func (e *env) checkQueries(name string, q kernels.Rows, want []float32) {
	e.Helper()
	ints, f, scale := e.readRows(q, name)
	if q.Bits == 16 {
		equal(e, name+": queries", f, want)
		return
	}
	for i := range q.N {
		row := make([]int8, q.Cols)
		s, _, _ := quant.Activations(row, want[i*q.Cols:][:q.Cols], q.Bits)
		equal(e, name+": query", ints[i*q.Cols:][:q.Cols], row)
		equal(e, name+": query scale", scale[i:i+1], []float32{s})
	}
}

// testAppendRange: a key or value that float16 cannot hold is an error that names
// operator and token; float32 pages hold any but infinities and NaNs.
func testAppendRange(e *env) {
	const heads, kvHeads, dim, tokens, bad = 4, 2, 32, 5, 2
	rope := newRotations(e, 8, dim)
	cols := (heads + 2*kvHeads) * dim
	at := map[string]int{"key": heads * dim, "value": (heads + kvHeads) * dim}
	for _, f := range formats {
		for part, col := range at {
			for _, v := range []float64{65504, 65505, -65600, 1e30, math.Inf(-1), math.NaN()} {
				x := e.normal(tokens * cols)
				x[bad*cols+col] = float32(v)
				x[bad*cols+col+dim/2] = 0 // the rest of the pair
				b := &kernels.Batch{T: tokens, Positions: upload(e, make([]int32, tokens)), Slots: upload(e, []int32{0, 1, 2, 3, 4})}
				e.dev.RoPEAppendKV(e.queries(tokens*heads, dim, 16), e.cache(f, 1, kvHeads, dim), e.floats(x, tokens, cols), b, rope.RoPE)
				err := e.dev.Sync()
				fits := math.Abs(v) <= quant.MaxFloat16 || f.Bits == 32 && math.Abs(v) < math.MaxFloat32
				if fits && err != nil {
					e.Errorf("%+v: a %s of %v: %v", f, part, v, err)
				}
				if !fits && (err == nil || !strings.Contains(err.Error(), "RoPEAppendKV") || !strings.Contains(err.Error(), fmt.Sprintf("row %d", bad))) {
					e.Errorf("%+v: a %s of %v in row %d: error %v", f, part, v, bad, err)
				}
			}
		}
	}
}
