package cpu

import (
	"math"

	"github.com/llmqat/llmqat/kernels/fp"
)

// LogitBlock is the number of logits that BlockMax makes one of.
const LogitBlock = 128

// WeightOne is the weight of the most likely token. Weights are whole numbers, which
// float64 adds without rounding: 128·2⁴⁰ < 2⁵³. So a sum needs no order.
const WeightOne = 1 << 40

// sampleKernels are the inner loops of drawing a token from its logits. Lengths are
// multiples of 8, those of blockMax's x of LogitBlock.
type sampleKernels struct {
	// blockMax sets tops[b] to the largest of block b of x, -Inf where all are NaN or
	// -Inf. A zero is of either sign.
	blockMax func(tops, x []float32)

	// weigh sets w to fp.Exp((x-top)·scale)·WeightOne, rounded half to even, and to 0
	// where x < least or x is NaN, and returns Σw. x is at most LogitBlock long; where
	// it is no NaN it is at most top, which is finite.
	weigh func(w, x []float32, top, scale, least float32) float64
}

var sampleGeneric = sampleKernels{blockMaxGeneric, weighLogitsGeneric}

func blockMaxGeneric(tops, x []float32) {
	for b := range tops {
		top := float32(math.Inf(-1))
		for _, v := range x[b*LogitBlock:][:LogitBlock] {
			if v > top {
				top = v
			}
		}
		tops[b] = top
	}
}

func weighLogitsGeneric(w, x []float32, top, scale, least float32) (sum float64) {
	for i, v := range x {
		w[i] = 0
		if a := float32((v - top) * scale); v >= least && a >= fp.ExpLo {
			w[i] = float32(math.RoundToEven(float64(float32(fp.Exp(a) * WeightOne))))
		}
		sum += float64(w[i])
	}
	return sum
}

// Sampling is an instruction set's loops over a row of logits of any length.
type Sampling struct{ k *isa }

// NewSampling returns the loops of the named instruction set, as New chooses it.
func NewSampling(isaName string) (Sampling, error) {
	k, err := choose(isaName)
	return Sampling{k}, err
}

// BlockMax sets tops [⌈n/LogitBlock⌉] to the largest logit of each block of x [n],
// -Inf where it has none. A NaN counts as -Inf.
func (s Sampling) BlockMax(tops, x []float32) {
	whole := len(x) / LogitBlock
	s.k.sample.blockMax(tops[:whole], x[:whole*LogitBlock])
	if whole == len(tops) {
		return
	}
	var last [LogitBlock]float32
	n := copy(last[:], x[whole*LogitBlock:])
	for i := range last[n:] {
		last[n+i] = float32(math.Inf(-1))
	}
	blockMaxGeneric(tops[whole:], last[:])
}

// Weigh sets w to the weights of the logits x, at most LogitBlock, at temperature
// 1/scale, and returns their sum. The most likely token's logit, top, weighs
// WeightOne; those below least, and NaN, weigh nothing. top and least are finite.
func (s Sampling) Weigh(w, x []float32, top, scale, least float32) uint64 {
	n := len(x) &^ 7
	return uint64(s.k.sample.weigh(w[:n], x[:n], top, scale, least) + weighLogitsGeneric(w[n:], x[n:], top, scale, least))
}
