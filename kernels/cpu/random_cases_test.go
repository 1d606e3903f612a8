package cpu

import (
	"math"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// loopRun is one call of one entry of an instruction set, with a random shape.
type loopRun struct {
	*loopBuffers
	k      *isa
	index  int // of the entry, where there are several: a tile's, a weight type's
	budget int // about how many multiply-adds the definition may do
}

// count returns 1..most: often one of the two.
func (l *loopRun) count(most int) int {
	switch most = max(most, 1); l.r.IntN(16) {
	case 0, 1:
		return 1
	case 2, 3:
		return most
	}
	return 1 + l.r.IntN(most)
}

// eights returns the length of a row, 0 too.
func (l *loopRun) eights() int { return 8 * (l.count(l.budget/64) - 1) }

// both calls f with the definition and its buffers, 0, and with the loop and its, 1.
func (l *loopRun) both(f func(k *isa, i int)) {
	f(&generic, 0)
	f(l.k, 1)
}

// loopCases runs each entry of isa, by its name there.
var loopCases = map[string]func(l *loopRun){
	"w4.tiles.dots": func(l *loopRun) { l.dots(&generic.w4, &l.k.w4, kernels.Int4) },
	"w8.tiles.dots": func(l *loopRun) { l.dots(&generic.w8, &l.k.w8, kernels.Int8) },

	"scaleSums": func(l *loopRun) { l.scaleSums(func(k *isa) scaleFunc { return k.scaleSums }) },
	"addSums":   func(l *loopRun) { l.scaleSums(func(k *isa) scaleFunc { return k.addSums }) },

	"dot":          (*loopRun).dot,
	"widen":        (*loopRun).widen,
	"stream":       (*loopRun).stream,
	"sums":         (*loopRun).sums,
	"tile2":        func(l *loopRun) { l.floatTile(l.k.tile2, generic.tile2, 2) },
	"tile3":        func(l *loopRun) { l.floatTile(l.k.tile3, generic.tile3, 3) },
	"matmul.tiles": (*loopRun).matmul,

	"matmul.turn": func(l *loopRun) {
		n := 4 * (1 + l.r.IntN(20))
		row := n + l.r.IntN(9)
		panel, x := out[float32](l.loopBuffers, (n-1)*matmulCols+8), l.floats(7*row+n, anyFloat)
		l.both(func(k *isa, i int) { k.matmul.turn(panel[i], x[i], row, n) })
	},

	"train.expScaled": func(l *loopRun) {
		n, shift, scale := l.eights(), l.float(finite), l.float(finite)
		if scale == 0 { // fp.Exp takes no NaN, as x - shift, which may be infinite, times 0 is
			scale = 1
		}
		y, x, sum := out[float32](l.loopBuffers, n), l.floats(n, finite), out[float32](l.loopBuffers, 1)
		l.both(func(k *isa, i int) { sum[i][0] = k.train.expScaled(y[i], x[i], shift, scale) })
	},
	"train.products": func(l *loopRun) {
		n := l.eights()
		x, y, sum := l.floats(n, finite), l.floats(n, finite), out[float32](l.loopBuffers, 1)
		l.both(func(k *isa, i int) { sum[i][0] = k.train.products(x[i], y[i]) })
	},
	"train.softmaxGrad": func(l *loopRun) {
		n, mean, scale := l.eights(), l.float(anyFloat), l.float(anyFloat)
		y, p, dp := out[float32](l.loopBuffers, n), l.floats(n, anyFloat), l.floats(n, anyFloat)
		l.both(func(k *isa, i int) { k.train.softmaxGrad(y[i], p[i], dp[i], mean, scale) })
	},
	"train.swigluGrad": func(l *loopRun) {
		n := l.eights()
		dgate, dup := out[float32](l.loopBuffers, n), out[float32](l.loopBuffers, n)
		dy, gate, up := l.floats(n, anyFloat), l.floats(n, finite), l.floats(n, anyFloat)
		l.both(func(k *isa, i int) { k.train.swigluGrad(dgate[i], dup[i], dy[i], gate[i], up[i]) })
	},
	"train.combine": func(l *loopRun) {
		n, a, b := l.eights(), l.float(anyFloat), l.float(anyFloat)
		y, p, q := out[float32](l.loopBuffers, n), l.floats(n, anyFloat), l.floats(n, anyFloat)
		l.both(func(k *isa, i int) { k.train.combine(y[i], p[i], q[i], a, b) })
	},
	"train.dequantize": func(l *loopRun) {
		n, scale := l.eights(), l.float(anyFloat)
		y, q := out[float32](l.loopBuffers, n), filled(l.loopBuffers, n, func(int) int8 { return int8(l.r.Uint32()) })
		l.both(func(k *isa, i int) { k.train.dequantize(y[i], q[i], scale) })
	},

	"absMax": func(l *loopRun) {
		x, m := l.floats(l.eights(), anyFloat), out[int32](l.loopBuffers, 1)
		l.both(func(k *isa, i int) { m[i][0] = int32(math.Float32bits(k.absMax(x[i]))) })
	},
	"minMax": func(l *loopRun) {
		x, m := l.floats(8+l.eights(), anyFloat), out[int32](l.loopBuffers, 2)
		l.both(func(k *isa, i int) {
			lo, hi := k.minMax(x[i])
			m[i][0], m[i][1] = int32(math.Float32bits(lo)), int32(math.Float32bits(hi))
		})
	},
	"quantize": func(l *loopRun) {
		n, qmax := l.eights(), pick(l.r, float32(7), 31, 127)
		x, scale, zero := l.quantizable(n)
		q, sum := out[int8](l.loopBuffers, n), out[int32](l.loopBuffers, 1)
		l.both(func(k *isa, i int) { sum[i][0] = k.quantize(q[i], x[i], scale, zero, qmax) })
	},
	"normalize": func(l *loopRun) {
		n, r := l.eights(), l.float(anyFloat)
		y, x, w := out[float32](l.loopBuffers, n), l.floats(n, anyFloat), l.floats(n, anyFloat)
		l.both(func(k *isa, i int) { k.normalize(y[i], x[i], w[i], r) })
	},
	"swiglu": func(l *loopRun) {
		n := l.eights()
		y, gate, up := out[float32](l.loopBuffers, n), l.floats(n, finite), l.floats(n, anyFloat)
		l.both(func(k *isa, i int) { k.swiglu(y[i], gate[i], up[i]) })
	},
	"rotate": func(l *loopRun) {
		n := l.eights()
		x, cos, sin := l.floats(2*n, anyFloat), l.floats(n, anyFloat), l.floats(n, anyFloat)
		y := x
		if l.r.IntN(2) == 0 {
			y = out[float32](l.loopBuffers, 2*n)
		}
		l.both(func(k *isa, i int) { k.rotate(y[i], x[i], cos[i], sin[i]) })
	},

	"sample.blockMax": func(l *loopRun) {
		n := l.count(l.budget/LogitBlock) - 1
		tops, x := out[float32](l.loopBuffers, n), l.floats(n*LogitBlock, anyFloat)
		l.both(func(k *isa, i int) {
			k.sample.blockMax(tops[i], x[i])
			positiveZeros(tops[i])
		})
	},
	"sample.weigh": (*loopRun).weighLogits,

	// What these multiply or read is nobody's result; they end, and leave memory alone.
	"peak.read": func(l *loopRun) {
		b := packed[uint8](l.loopBuffers, 256*l.count(32), anyBytes)
		l.both(func(k *isa, i int) { k.peak.read(b[i]) })
	},
	"peak.w4.run":  func(l *loopRun) { l.k.peak.w4.run(l.count(30)) },
	"peak.w8.run":  func(l *loopRun) { l.k.peak.w8.run(l.count(30)) },
	"peak.fma.run": func(l *loopRun) { l.k.peak.fma.run(l.count(30)) },
}

// dots holds a tile to the generic one, which does a token at a time and adds nothing
// to weights. A tile of a kernel with a span takes k inputs of depth.
func (l *loopRun) dots(definition, kernel *dotKernel, typ kernels.WeightType) {
	tile, tokens := kernel.tiles[l.index], l.index+1
	rows := tile.rows * l.count(4)
	stride := rows + l.r.IntN(4)
	depth := quant.RowAlign * l.count(l.budget/(quant.RowAlign*rows*tokens))
	k := depth
	if kernel.span > 0 {
		k = quant.RowAlign * l.count(depth/quant.RowAlign)
	}
	w := packed[uint8](l.loopBuffers, rows*typ.RowBytes(depth)-typ.RowBytes(depth-k), anyBytes)
	x := packed[int8](l.loopBuffers, tokens*depth-(depth-k), activations)
	sum := out[int32](l.loopBuffers, (tokens-1)*stride+rows)
	for t := range tokens {
		x := x[0][t*depth:][:k]
		var xs int32
		for _, v := range x {
			xs += int32(v)
		}
		sum := sum[0][t*stride:][:rows]
		for r := range sum {
			definition.tiles[0].dots(sum[r:], w[0][r*typ.RowBytes(depth):], x, k, 1, 1, 0, 0, k)
			sum[r] += kernel.offset * xs
		}
	}
	tile.dots(sum[1], w[1], x[1], k, rows, stride, l.r.IntN(1<<20), l.r.IntN(65), depth)
}

func (l *loopRun) scaleSums(loop func(k *isa) scaleFunc) {
	tokens := l.count(4)
	n := l.count(l.budget/(8*tokens)) - 1
	outStride, sumStride := n+l.r.IntN(4), n+l.r.IntN(4)
	y, sum := l.floats((tokens-1)*outStride+n, anyFloat), l.ints((tokens-1)*sumStride+n, 20+l.r.IntN(12))
	w, x := l.floats(n, anyFloat), l.floats(tokens, anyFloat)
	xSum, offset := l.ints(tokens, 20+l.r.IntN(12)), pick(l.r, int32(0), 8, 128)
	l.both(func(k *isa, i int) { loop(k)(y[i], outStride, sum[i], sumStride, w[i], x[i], xSum[i], offset) })
}

// depth returns a length of float rows.
func (l *loopRun) depth(most int) int {
	return quant.RowAlign * l.count(min(most, l.budget/4)/quant.RowAlign)
}

func (l *loopRun) dot() {
	typ, n := kernels.WeightType(l.index), l.depth(1<<16)
	w, x := l.weights(typ, n), l.floats(n, anyFloat)
	y := out[float32](l.loopBuffers, 1)
	l.both(func(k *isa, i int) { y[i][0] = k.floatKernels.dot[typ](w[i], x[i]) })
}

func (l *loopRun) widen() {
	typ, n := kernels.WeightType(l.index), l.depth(1<<16)
	stride := fp.Lanes * l.count(min(20, regionSize/4/n))
	src := l.weights(typ, n)
	dst := out[float32](l.loopBuffers, (n/fp.Lanes-1)*stride+fp.Lanes)
	l.both(func(k *isa, i int) { k.floatKernels.widen[typ](dst[i], stride, src[i], n) })
}

// stream holds a stream to the generic one for panels of its table's height. Its index
// tells the tokens.
func (l *loopRun) stream() {
	typ := pick(l.r, allTypes...)
	for len(l.k.floatKernels.stream[typ]) <= l.index || l.k.floatKernels.stream[typ][l.index] == nil {
		typ = pick(l.r, allTypes...)
	}
	tokens, rows := max(1, 2*l.index), streamRows*l.count(l.k.panelRows/streamRows)
	n := min(l.depth(fp.Block), fp.Block)
	w, x := l.weights(typ, rows*n), l.floats((tokens-1)*fp.Block+n, anyFloat)
	total := l.floats(tokens*l.k.panelRows*fp.Lanes, anyFloat)
	streamGeneric(weightAt[typ], tokens, l.k.panelRows)(total[0], w[0], typ.RowBytes(n), x[0], n, rows, &w[0][0])
	l.k.floatKernels.stream[typ][l.index](total[1], w[1], typ.RowBytes(n), x[1], n, rows, &w[1][0])
}

// sums holds sums to the generic ones for panels of their table's height.
func (l *loopRun) sums() {
	tokens, rows := l.count(4), l.count(l.k.panelRows)
	stride := rows + l.r.IntN(4)
	total, y := l.floats(tokens*l.k.panelRows*fp.Lanes, anyFloat), l.floats((tokens-1)*stride+rows, anyFloat)
	scale, add := l.floats(rows, anyFloat), l.r.IntN(2) == 0
	if l.r.IntN(2) == 0 {
		scale = pair[float32]{}
	}
	floatSumsGeneric(l.k.panelRows)(y[0], stride, total[0], tokens, rows, scale[0], add)
	l.k.floatKernels.sums(y[1], stride, total[1], tokens, rows, scale[1], add)
}

// floatTile holds a tile to the generic one, which takes a panel of its own height.
func (l *loopRun) floatTile(tile, definition func(total, panel, x *float32, stride, n int), tokens int) {
	rows := l.k.panelRows
	n := l.depth(min(panelSize, l.budget*2/tokens) / rows)
	stride := n + fp.Lanes*(l.count(8)-1)
	total, panel := l.floats(tokens*rows*fp.Lanes, anyFloat), l.floats(n*rows, anyFloat)
	x := l.floats((tokens-1)*stride+n, anyFloat)

	// lanes returns eight floats of row r of a [.., height, 8].
	lanes := func(s []float32, i, height, r int) []float32 { return s[(i*height+r)*fp.Lanes:][:fp.Lanes] }
	few := make([]float32, n*genericPanelRows)
	sums := make([]float32, tokens*genericPanelRows*fp.Lanes)
	for row := 0; row < rows; row += genericPanelRows {
		height := min(genericPanelRows, rows-row)
		for r := range height {
			for i := range n / fp.Lanes {
				copy(lanes(few, i, genericPanelRows, r), lanes(panel[0], i, rows, row+r))
			}
			for t := range tokens {
				copy(lanes(sums, t, genericPanelRows, r), lanes(total[0], t, rows, row+r))
			}
		}
		definition(&sums[0], &few[0], &x[0][0], stride, n)
		for r := range height {
			for t := range tokens {
				copy(lanes(total[0], t, rows, row+r), lanes(sums, t, genericPanelRows, r))
			}
		}
	}
	tile(&total[1][0], &panel[1][0], &x[1][0], stride, n)
}

// matmul multiplies a as it is or transposed.
func (l *loopRun) matmul() {
	rows := l.index + 1
	n := l.count(min(fp.Block, max(1, l.budget/(rows*matmulCols))))
	aRow, aStep := n+l.r.IntN(3), 1
	if l.r.IntN(2) == 0 {
		aRow, aStep = 1, rows+l.r.IntN(3)
	}
	cRow, add := matmulCols+l.r.IntN(3), l.r.IntN(2)
	c, a := l.floats((rows-1)*cRow+matmulCols, anyFloat), l.floats((rows-1)*aRow+(n-1)*aStep+1, anyFloat)
	b := l.floats(n*matmulCols, anyFloat)
	l.both(func(k *isa, i int) { k.matmul.tiles[l.index](&c[i][0], cRow, &a[i][0], aRow, aStep, &b[i][0], n, add) })
}

// quantizable returns n floats with a scale and zero point, often half way between
// two integers, or all far outside of the range.
func (l *loopRun) quantizable(n int) (x pair[float32], scale, zero float32) {
	scale = float32(math.Abs(float64(l.float(finite))))
	if scale == 0 {
		scale = 0x1p-149
	}
	if l.r.IntN(2) == 0 {
		zero = l.float(finite)
	}
	if l.r.IntN(2) == 0 {
		return l.floats(n, finite), scale, zero
	}
	if l.r.IntN(2) == 0 {
		scale, zero = float32(math.Ldexp(1, l.r.IntN(20)-10)), float32(l.r.IntN(9)-4) // ties exactly
	}
	return filled(l.loopBuffers, n, func(int) float32 {
		half := float32(int32(l.bits.Uint64())>>23) / 2
		return min(max(half*scale+zero, -math.MaxFloat32), math.MaxFloat32)
	}), scale, zero
}

// weighLogits draws from logits up to top, some of them no numbers.
func (l *loopRun) weighLogits() {
	n := 8 * (l.count(LogitBlock/8+1) - 1)
	logit, top := l.kindOf(anyFloat), l.float(finite)
	scale, least := float32(math.Abs(float64(l.float(finite)))), l.float(finite)
	near := l.r.IntN(2) == 0
	x := filled(l.loopBuffers, n, func(int) float32 {
		v := logit(l.bits.Uint64())
		if near { // enough to weigh something
			v = top - float32(math.Abs(float64(v)))
		}
		return min(v, top) // a NaN remains
	})
	w, sum := out[float32](l.loopBuffers, n), out[int32](l.loopBuffers, 2)
	l.both(func(k *isa, i int) {
		s := math.Float64bits(k.sample.weigh(w[i], x[i], top, scale, least))
		sum[i][0], sum[i][1] = int32(s), int32(s>>32)
	})
}
