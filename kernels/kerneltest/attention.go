package kerneltest

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// sequence is one of a batch: its context, the queries in this pass, and its pages.
type sequence struct {
	context, queries int
	pages            []int
}

// batches are sequences [context, queries] whose passes run together: decode,
// prefill, chunks of a prefill, and all mixed, at the borders of pages and of 256
// positions.
var batches = [][][2]int{
	{{1, 1}},
	{{600, 1}},
	{{63, 1}, {64, 1}, {65, 1}, {255, 1}, {256, 1}, {257, 1}},
	{{1, 1}, {65, 65}, {600, 2}, {257, 5}, {255, 1}, {256, 2}, {128, 34}},
}

func testAttention(e *env) {
	batches := batches
	if testing.Short() {
		batches = batches[len(batches)-1:]
	}
	for _, s := range headShapes {
		rope := newRotations(e, 600, s.dim)
		for _, f := range formats {
			for _, qBits := range []int{8, 16} {
				if qBits == 8 && (!f.Quantized() || f.RotateOnRead()) {
					continue
				}
				for _, b := range batches {
					a := newAttention(e, f, s.heads, s.kvHeads, rope, qBits, b)
					a.check(fmt.Sprintf("%+v, %d/%d heads of %d, q %d bits, sequences %v", f, s.heads, s.kvHeads, s.dim, qBits, b))
				}
			}
		}
	}
}

// attention is a batch with its cache and queries, on device and host.
type attention struct {
	*env
	heads, group, dim int
	seqs              []sequence
	batch             *kernels.Batch
	kv                kernels.KVCache
	host              *hostCache
	rope              *rotations
	q                 kernels.Rows
	queries           []float64 // [T, heads, dim]
}

func newAttention(e *env, f quant.KV, heads, kvHeads int, rope *rotations, qBits int, seqs [][2]int) *attention {
	dim := rope.HeadDim
	a := &attention{env: e, heads: heads, group: heads / kvHeads, dim: dim, rope: rope, batch: &kernels.Batch{S: len(seqs)}}
	start := []int32{0}
	var lens, table []int32
	pages := 0
	for _, s := range seqs {
		n := (s[0] + kernels.PageTokens - 1) / kernels.PageTokens
		pages += n
		a.batch.MaxPages = max(a.batch.MaxPages, n)
		a.batch.T += s[1]
		start, lens = append(start, int32(a.batch.T)), append(lens, int32(s[0]))
	}
	free := e.rand.Perm(pages + 2) // scattered, and two that nobody owns
	var positions []int32
	for _, s := range seqs {
		n := (s[0] + kernels.PageTokens - 1) / kernels.PageTokens
		a.seqs = append(a.seqs, sequence{s[0], s[1], free[:n]})
		for i := range a.batch.MaxPages {
			if i < n {
				table = append(table, int32(free[i]))
			} else {
				table = append(table, -1)
			}
		}
		for i := range s[1] {
			positions = append(positions, int32(s[0]-s[1]+i))
		}
		free = free[n:]
	}
	a.batch.QueryStart, a.batch.SeqLens = upload(e, start), upload(e, lens)
	a.batch.Positions, a.batch.PageTable = upload(e, positions), upload(e, table)

	a.kv = e.cache(f, pages+2, kvHeads, dim)
	a.host = e.read(a.kv)
	for _, s := range a.seqs {
		for p := range s.context {
			slot := s.slot(p)
			a.host.put(a.host.k, a.host.kScale, a.host.kZero, slot, e.normal(kvHeads*dim))
			a.host.put(a.host.v, a.host.vScale, a.host.vZero, slot, e.normal(kvHeads*dim))
		}
	}
	e.write(a.kv, a.host)
	a.newQueries(qBits)
	return a
}

func (s *sequence) slot(position int) int {
	return s.pages[position/kernels.PageTokens]*kernels.PageTokens + position%kernels.PageTokens
}

func (a *attention) newQueries(bits int) {
	n := a.batch.T * a.heads
	x := a.normal(n * a.dim)
	a.q = a.env.queries(n, a.dim, bits)
	if bits == 16 {
		kernels.Upload(a.dev, a.q.F.Buf, x)
		for _, v := range x {
			a.queries = append(a.queries, float64(v))
		}
		return
	}
	ints, scales, sums := make([]int8, n*a.dim), make([]float32, n), make([]int32, n)
	for i := range n {
		q := ints[i*a.dim:][:a.dim]
		scales[i], sums[i], _ = quant.Activations(q, x[i*a.dim:][:a.dim], bits)
		for _, v := range q {
			a.queries = append(a.queries, float64(v)*float64(scales[i]))
		}
	}
	kernels.Upload(a.dev, a.q.Q, ints)
	kernels.Upload(a.dev, a.q.Scale, scales)
	kernels.Upload(a.dev, a.q.Sum, sums)
}

// vector is a stored vector as float64.
type vector struct {
	x     []float64
	abs   []float64 // of each element, the sum of the absolute values it is made of, which its rounding errors are relative to
	q     []float64 // the stored integers: x = scale·q + zero
	scale float64
}

func (h *hostCache) vector(data []uint8, scales, zeros []uint16, head, slot int) vector {
	src := data[h.at(head, slot):][:h.VectorBytes(h.dim)]
	x, abs, ints := make([]float64, h.dim), make([]float64, h.dim), make([]float64, h.dim)
	var scale, zero float64
	if h.Quantized() {
		at := h.scaleAt(min(head, h.Groups(h.heads)-1), slot)
		scale = float64(quant.Float16To32(scales[at]))
		if h.HasZero() {
			zero = float64(quant.Float16To32(zeros[at]))
		}
	}
	nibbleOffset := 8.0
	if h.HasZero() {
		nibbleOffset = 0
	}
	for i := range x {
		var q float64
		switch h.Bits {
		case 4:
			b := src[i%(h.dim/2)]
			if i >= h.dim/2 {
				b >>= 4
			}
			q = float64(b&15) - nibbleOffset
		case 8:
			q = float64(int8(src[i]))
		case 16:
			scale, q = 1, float64(quant.Float16To32(binary.LittleEndian.Uint16(src[2*i:])))
		case 32:
			scale, q = 1, float64(math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:])))
		}
		x[i], abs[i], ints[i] = scale*q+zero, math.Abs(scale*q)+math.Abs(zero), q
	}
	return vector{x, abs, ints, scale}
}

// keys returns all keys of a sequence for one KV head, rotated if need be, and
// what their errors are relative to.
func (a *attention) keys(s *sequence, head int) (k, abs [][]float64) {
	half := a.dim / 2
	for p := range s.context {
		v := a.host.vector(a.host.k, a.host.kScale, a.host.kZero, head, s.slot(p))
		x, ax := v.x, v.abs
		if a.host.RotateOnRead() {
			for i := range half {
				c, sn := float64(a.rope.cos[p*half+i]), float64(a.rope.sin[p*half+i])
				u, v := x[i], x[i+half]
				x[i], x[i+half] = u*c-v*sn, v*c+u*sn
				u, v = ax[i], ax[i+half]
				ax[i], ax[i+half] = u*math.Abs(c)+v*math.Abs(sn), v*math.Abs(c)+u*math.Abs(sn)
			}
		}
		k, abs = append(k, x), append(abs, ax)
	}
	return k, abs
}

// check runs the operator and compares it with softmax(q·k/√dim)·v in float64.
//
// A score errs by at most (dim+12)·eps·Σ|q·k| of absolute values: dim for the sum,
// the rest for dequantizing, rotating and scaling. An exponent's error is a
// weight's relative error, for the score's and the maximum's; exp itself and the
// subtraction (eps·|x|·e^x < eps) add 16·eps. Sums over at most 256 weights, and
// over the pieces of 256, add as many roundings, in numerator and denominator; a
// weight in the numerator times scale, zero point, quotient: 16 more. Weights below
// e^-87 may count as 0: with values up to 100 that is less than flushed.
//
// Where values are integers, weights may be too: within a piece they may err by half
// a unit, the piece's largest weight·scale over weightMax (and that itself, by its
// roundings: the 1.01).
const (
	flushed     = 1e-33
	pieceTokens = 256
	weightMax   = 1<<14 - 1
)

func (a *attention) check(name string) {
	a.Helper()
	out := a.outFloats(a.batch.T, a.heads*a.dim)
	a.dev.PagedAttention(out, a.q, a.kv, a.batch, a.rope.RoPE)
	got := a.contents(out)

	token := 0
	for i := range a.seqs {
		s := &a.seqs[i]
		for kvHead := range a.heads / a.group {
			keys, keysAbs := a.keys(s, kvHead)
			var values []vector
			for p := range s.context {
				values = append(values, a.host.vector(a.host.v, a.host.vScale, a.host.vZero, kvHead, s.slot(p)))
			}
			for j := range s.queries {
				if testing.Short() && j%5 > 0 && j < s.queries-1 {
					continue // a row of each of a tile's places is left
				}
				n := s.context - s.queries + j + 1
				for h := kvHead * a.group; h < (kvHead+1)*a.group; h++ {
					q := a.queries[((token+j)*a.heads+h)*a.dim:][:a.dim]
					a.checkRow(fmt.Sprintf("%s: sequence %d, query %d, head %d", name, i, j, h), q,
						keys[:n], keysAbs[:n], values[:n], got[((token+j)*a.heads+h)*a.dim:][:a.dim])
				}
			}
		}
		token += s.queries
	}
}

func (a *attention) checkRow(name string, q []float64, keys, keysAbs [][]float64, values []vector, got []float32) {
	a.Helper()
	scores := make([]float64, len(keys))
	top, err := math.Inf(-1), 0.0
	for t, k := range keys {
		var abs float64
		for i, v := range q {
			scores[t] += v * k[i]
			abs += math.Abs(v) * keysAbs[t][i]
		}
		scores[t] /= math.Sqrt(float64(a.dim))
		err = max(err, float64(a.dim+12)*eps*abs/math.Sqrt(float64(a.dim)))
		top = max(top, scores[t])
	}
	o, abs, sum := make([]float64, a.dim), make([]float64, a.dim), 0.0
	rounding := make([]float64, a.dim)
	for from := 0; from < len(scores); from += pieceTokens {
		heaviest := 0.0
		for t := from; t < min(from+pieceTokens, len(scores)); t++ {
			heaviest = max(heaviest, math.Exp(scores[t]-top)*values[t].scale)
		}
		for t := from; t < min(from+pieceTokens, len(scores)); t++ {
			w, v := math.Exp(scores[t]-top), values[t]
			sum += w
			for i := range o {
				o[i] += w * v.x[i]
				abs[i] += w * v.abs[i]
				if a.host.Quantized() {
					rounding[i] += heaviest / weightMax / 2 * math.Abs(v.q[i])
				}
			}
		}
	}
	rel := 2*(2*err+16*eps) + float64(2*(min(len(keys), 256)+len(keys)/256)+16)*eps
	for i := range o {
		a.near(got[i], o[i]/sum, (rel*abs[i]+1.01*rounding[i])/sum+flushed, name, i)
	}
}
