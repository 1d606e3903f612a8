package sample

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/kernels/cpu"
)

// Work is the memory that drawing needs, shared by the samplers of one goroutine.
type Work struct {
	loops    cpu.Sampling
	adjusted []float32 // logits with penalties and biases, or without infinities

	// The row at hand: its logits, at most MaxFloat32, the largest of each block of
	// cpu.LogitBlock, and the largest of all.
	logits []float32
	tops   []float32
	top    float32

	// How they are weighed, and by token and by block what they weigh.
	scale   float32 // 1/temperature
	least   float32 // logits below weigh nothing
	weights []float32
	sums    []uint64

	list    []candidate // grows to what is ever kept
	buckets [nBuckets]uint64
	few     [cpu.LogitBlock]float32 // logits of some of list
}

// NewWork returns the memory for a vocabulary of vocab tokens, on the instruction
// set that cpu.New would choose. It fails where there is none of the name asked for.
func NewWork(vocab int) (*Work, error) {
	loops, err := cpu.NewSampling("")
	if err != nil {
		return nil, fmt.Errorf("drawing tokens: %w", err)
	}
	return newWork(vocab, loops), nil
}

func newWork(vocab int, loops cpu.Sampling) *Work {
	blocks := (vocab + cpu.LogitBlock - 1) / cpu.LogitBlock
	return &Work{
		loops: loops, adjusted: make([]float32, vocab), tops: make([]float32, blocks),
		weights: make([]float32, max(vocab, cpu.LogitBlock)), sums: make([]uint64, blocks),
	}
}

// set makes logits the row at hand. It returns false where all are -Inf or NaN.
func (w *Work) set(logits []float32) bool {
	w.logits = logits
	w.loops.BlockMax(w.tops, logits)
	w.top = float32(math.Inf(-1))
	for _, v := range w.tops {
		if v > w.top {
			w.top = v
		}
	}
	if w.top <= math.MaxFloat32 {
		return w.top >= -math.MaxFloat32
	}
	w.logits = w.adjusted[:len(logits)]
	for i, v := range logits { // so that differences are numbers
		if v > math.MaxFloat32 {
			v = math.MaxFloat32
		}
		w.logits[i] = v
	}
	return w.set(w.logits)
}

// block returns the place of block b in the row.
func (w *Work) block(b int) (from, to int) {
	return b * cpu.LogitBlock, min(b*cpu.LogitBlock+cpu.LogitBlock, len(w.logits))
}

// first returns the first token of the largest logit.
func (w *Work) first() int32 {
	for b, top := range w.tops {
		if top != w.top {
			continue
		}
		from, to := w.block(b)
		for i, v := range w.logits[from:to] {
			if v == w.top {
				return int32(from + i)
			}
		}
	}
	panic(fmt.Sprintf("sample: no logit of %d is %v", len(w.logits), w.top))
}

// weigh weighs the tokens of all blocks that reach w.least, and returns the sum.
func (w *Work) weigh() (total uint64) {
	for b, top := range w.tops {
		if w.sums[b] = 0; top < w.least {
			continue
		}
		from, to := w.block(b)
		w.sums[b] = w.loops.Weigh(w.weights[from:to], w.logits[from:to], w.top, w.scale, w.least)
		total += w.sums[b]
	}
	return total
}
