package cpu

import (
	"math"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// attentionCases are those of loopCases for attentionKernels.
var attentionCases = map[string]func(l *loopRun){
	"prefetch": func(l *loopRun) {
		b := packed[uint8](l.loopBuffers, l.count(1<<12)-1, anyBytes)
		l.both(func(k *isa, i int) { k.prefetch(b[i]) })
	},

	"store4": func(l *loopRun) {
		n := 8 * l.count(l.budget/128)
		f := quant.KV{Bits: 4, Scheme: pick(l.r, quant.KVToken, quant.KVHeadZP)}
		lo, hi := f.KVRange()
		x, scale, zero := l.quantizable(2 * n)
		dst := out[uint8](l.loopBuffers, n)
		l.both(func(k *isa, i int) {
			k.store4(dst[i], x[i], scale, zero, float32(lo), float32(hi), f.NibbleOffset())
		})
	},
	"store16": func(l *loopRun) {
		n := l.eights()
		dst, x := out[uint16](l.loopBuffers, n), l.floats(n, finite)
		l.both(func(k *isa, i int) { k.store16(dst[i], x[i]) })
	},

	"unpack4": func(l *loopRun) {
		dim, n := l.dim(), l.count(8)
		off := pick(l.r, float32(0), 8)
		dst, src := out[float32](l.loopBuffers, n*dim), packed[uint8](l.loopBuffers, n*dim/2, anyBytes)
		l.both(func(k *isa, i int) { k.unpack4(dst[i], src[i], dim, off) })
	},
	"unpack8": func(l *loopRun) {
		n := l.eights()
		dst, src := out[float32](l.loopBuffers, n), packed[uint8](l.loopBuffers, n, anyBytes)
		l.both(func(k *isa, i int) { k.unpack8(dst[i], src[i]) })
	},
	"unpack16": func(l *loopRun) {
		n := l.eights()
		dst := out[float32](l.loopBuffers, n)
		src := filled(l.loopBuffers, n, func(int) uint16 { return uint16(l.bits.Uint64()) })
		l.both(func(k *isa, i int) { k.unpack16(dst[i], src[i]) })
	},
	"affine": func(l *loopRun) {
		x, scale, zero := l.floats(l.eights(), anyFloat), l.float(anyFloat), l.float(anyFloat)
		l.both(func(k *isa, i int) { k.affine(x[i], scale, zero) })
	},

	"scores4": func(l *loopRun) {
		l.scoresInt(2, func(k *isa, c *intScoresCall, i int) {
			k.scores4(c.s[i], c.k[i], c.q[i], c.a, c.kscale[i], c.kzero[i], c.dim, c.scratch[i])
		})
	},
	"scores8": func(l *loopRun) {
		l.scoresInt(1, func(k *isa, c *intScoresCall, i int) {
			k.scores8(c.s[i], c.k[i], c.q[i], c.a, c.kscale[i], c.kzero[i], c.dim, c.scratch[i])
		})
	},
	"scoresFloat": func(l *loopRun) {
		dim, n, scale := l.dim(), l.keys(), l.float(anyFloat)
		rows := l.rows(2 * n * dim)
		s := out[float32](l.loopBuffers, (rows-1)*splitTokens+n)
		keys, q := l.floats(n*dim, anyFloat), l.floats(rows*dim, anyFloat)
		l.both(func(k *isa, i int) { k.scoresFloat(s[i], keys[i], q[i], scale, n, dim) })
	},

	"addValues": func(l *loopRun) {
		dim, n := l.dim(), l.count(kernels.PageTokens)
		rows := l.rows(2 * n * dim)
		o, p, v := l.floats(rows*dim, anyFloat), l.floats((rows-1)*splitTokens+n, anyFloat), l.floats(n*dim, anyFloat)
		l.both(func(k *isa, i int) { k.addValues(o[i], p[i], v[i], n, dim) })
	},
	"weigh": func(l *loopRun) {
		n := 16 * l.count(splitTokens/16)
		rows := l.rows(8 * n)
		p, s := out[uint8](l.loopBuffers, (2*rows-1)*splitTokens+n), l.exps((rows-1)*splitTokens+n)
		unit := out[float32](l.loopBuffers, rows)
		l.both(func(k *isa, i int) { k.weigh(p[i], s[i], unit[i], n) })
	},
	"quads4": func(l *loopRun) {
		dim, n, off := l.dim(), 4*l.count(kernels.PageTokens/4), pick(l.r, int8(0), 8)
		v, src := out[int8](l.loopBuffers, n*dim), packed[uint8](l.loopBuffers, n*dim/2, anyBytes)
		l.both(func(k *isa, i int) { k.quads4(v[i], src[i], dim, off) })
	},
	"quads8": func(l *loopRun) {
		dim, n := l.dim(), 4*l.count(kernels.PageTokens/4)
		v, src := out[int8](l.loopBuffers, n*dim), packed[uint8](l.loopBuffers, n*dim, anyBytes)
		l.both(func(k *isa, i int) { k.quads8(v[i], src[i], dim) })
	},
	"addInts4": func(l *loopRun) {
		l.addInts(nibbleValues, func(k *isa, o []int32, p []uint8, v []int8, n, dim int) { k.addInts4(o, p, v, n, dim) })
	},
	"addInts8": func(l *loopRun) {
		l.addInts(activations, func(k *isa, o []int32, p []uint8, v []int8, n, dim int) { k.addInts8(o, p, v, n, dim) })
	},
	"scaleInts": func(l *loopRun) {
		dim, unit := l.dim(), l.float(anyFloat)
		o, sums := out[float32](l.loopBuffers, dim), l.ints(dim, 30)
		l.both(func(k *isa, i int) { k.scaleInts(o[i], sums[i], unit) })
	},

	"softmax": (*loopRun).softmax,
	"rescale": func(l *loopRun) {
		n := 8 * l.count(tileRows/8)
		seen := l.kindOf(finite)
		maxima := func(hidden uint64) pair[float32] { // -∞: nothing seen, of one side at most
			return filled(l.loopBuffers, n, func(i int) float32 {
				if hidden>>i&1 != 0 {
					return float32(math.Inf(-1))
				}
				return seen(l.bits.Uint64())
			})
		}
		hidden, side := l.bits.Uint64()<<l.r.IntN(65), l.bits.Uint64()
		m, m2 := maxima(hidden&side), maxima(hidden&^side)
		sum, sum2 := l.floats(n, finite), l.floats(n, finite)
		a, b := out[float32](l.loopBuffers, n), out[float32](l.loopBuffers, n)
		l.both(func(k *isa, i int) {
			k.rescale(m[i], sum[i], m2[i], sum2[i], a[i], b[i])
			positiveZeros(m[i])
		})
	},
	"merge": func(l *loopRun) {
		dim, a, b, c := l.dim(), l.float(anyFloat), l.float(anyFloat), l.float(anyFloat)
		o, part := l.floats(dim, anyFloat), l.floats(dim, anyFloat)
		l.both(func(k *isa, i int) { k.merge(o[i], part[i], a, b, c) })
	},
	"divide": func(l *loopRun) {
		n, by := l.eights(), l.float(anyFloat)
		y, o := out[float32](l.loopBuffers, n), l.floats(n, anyFloat)
		l.both(func(k *isa, i int) { k.divide(y[i], o[i], by) })
	},
}

// dim, keys and rows are a vector's padded length, a page's keys, and a tile's rows
// of such a cost.
func (l *loopRun) dim() int  { return dimAlign * l.count(maxIntDim/dimAlign) }
func (l *loopRun) keys() int { return 16 * l.count(kernels.PageTokens/16) }
func (l *loopRun) rows(cost int) int {
	return l.count(min(tileRows, l.budget/cost))
}

// intScoresCall is what scores4 and scores8 take, twice.
type intScoresCall struct {
	s             pair[float32]
	k             pair[uint8]
	q             pair[int8]
	a             []intQuery
	kscale, kzero pair[float32]
	dim           int
	scratch       pair[uint8]
}

// scoresInt calls an integer score with keys of so many elements a byte.
func (l *loopRun) scoresInt(perByte int, call func(k *isa, c *intScoresCall, i int)) {
	n := l.keys()
	c := intScoresCall{dim: l.dim()}
	rows := l.rows(n * c.dim)
	c.s = out[float32](l.loopBuffers, (rows-1)*splitTokens+n)
	c.k = packed[uint8](l.loopBuffers, n*c.dim/perByte, anyBytes)
	c.q = packed[int8](l.loopBuffers, rows*c.dim, activations)
	c.kscale, c.kzero = l.floats(n, finite), l.floats(n, finite)
	c.scratch = l.scratch(n * c.dim)
	off := pick(l.r, 0, -8)
	for r := range rows {
		sum := 0
		for _, v := range c.q[0][r*c.dim:][:c.dim] {
			sum += int(v)
		}
		c.a = append(c.a, intQuery{queryBias: float32(off * sum), querySum: float32(sum), queryScale: l.float(finite)})
	}
	l.both(func(k *isa, i int) { call(k, &c, i) })
}

func (l *loopRun) addInts(values []pattern, call func(k *isa, o []int32, p []uint8, v []int8, n, dim int)) {
	dim, n := l.dim(), 4*l.count(kernels.PageTokens/4)
	rows := l.rows(2 * n * dim)
	o := l.ints(rows*dim, 29)
	p, v := packed[uint8](l.loopBuffers, (2*rows-1)*splitTokens+n, planes), packed[int8](l.loopBuffers, n*dim, values)
	l.both(func(k *isa, i int) { call(k, o[i], p[i], v[i], n, dim) })
}

// softmax hides scores as a batch's last positions do, or at random, but of each
// row one.
func (l *loopRun) softmax() {
	n := 16 * l.count(splitTokens/16)
	rows := l.rows(16 * n)
	score, hide, seen := l.kindOf(finite), l.r.IntN(3), l.r.IntN(n)
	s := filled(l.loopBuffers, (rows-1)*splitTokens+n, func(i int) float32 {
		u, last := l.bits.Uint64(), (seen+i/splitTokens)%n
		if at := i % splitTokens; hide == 1 && at > last || hide == 2 && at != last && u>>62 == 0 {
			return float32(math.Inf(-1))
		}
		return score(u)
	})
	scale, zero := l.floats(n, finite), l.floats(n, finite)
	m, sum, c := out[float32](l.loopBuffers, rows), out[float32](l.loopBuffers, rows), out[float32](l.loopBuffers, rows)
	l.both(func(k *isa, i int) {
		k.softmax(s[i], scale[i], zero[i], m[i], sum[i], c[i])
		positiveZeros(m[i])
	})
}

// positiveZeros forgets the signs of zeros: of maxima, only exp(x-max) sees them,
// which is 1 either way.
func positiveZeros(x []float32) {
	for i := range x {
		x[i] += 0
	}
}
