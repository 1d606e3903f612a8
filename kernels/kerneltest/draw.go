package kerneltest

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
)

// candidate is a token that may be drawn.
type candidate struct {
	logit  float32
	id     int32
	weight uint64
}

// Draw is the definition of kernels.Draw: weigh, sort, cut, count.
func Draw(logits []float32, d kernels.Draw) int32 {
	var left []candidate
	for i, v := range logits {
		if v > float32(math.Inf(-1)) {
			left = append(left, candidate{logit: min(v, math.MaxFloat32), id: int32(i)})
		}
	}
	if len(left) == 0 || d.Scale == 0 {
		return kernels.NoToken
	}
	slices.SortFunc(left, func(a, b candidate) int {
		if a.logit > b.logit || a.logit == b.logit && a.id < b.id {
			return -1
		}
		return 1
	})
	top := left[0].logit
	least := float32(float64(top) - d.Below)
	left = slices.DeleteFunc(left, func(c candidate) bool { return c.logit < least })
	if d.TopK > 0 {
		left = left[:min(int(d.TopK), len(left))]
	}
	sum := uint64(0)
	for i := range left {
		left[i].weight = uint64(math.RoundToEven(float64(fp.Exp((left[i].logit-top)*d.Scale)) * (1 << 40)))
		sum += left[i].weight
	}
	enough := sum - min(uint64(float64(d.Leave*float64(sum))), sum-1)
	for last := len(left) - 1; sum-left[last].weight >= enough; last-- {
		sum -= left[last].weight
		left = left[:last]
	}
	slices.SortFunc(left, func(a, b candidate) int { return int(a.id - b.id) })
	target, _ := bits.Mul64(d.Random, sum)
	for _, c := range left {
		if target < c.weight {
			return c.id
		}
		target -= c.weight
	}
	panic(fmt.Sprintf("kerneltest: %d weights end before the target", len(left)))
}

// Drawing is a Device that is made a kernels.Drawer by the definition.
type Drawing struct{ kernels.Device }

// Draw implements kernels.Drawer.
func (d Drawing) Draw(ids kernels.Buf[int32], logits kernels.Floats, draws kernels.Buf[int32]) {
	kernels.CheckDraw("kerneltest: Draw", ids, logits, draws)
	words, row, out := make([]int32, draws.N), make([]float32, logits.Cols), make([]int32, ids.N)
	kernels.Download(d, words, draws)
	for i := range out {
		kernels.Download(d, row, logits.Part(i, i+1).Buf)
		out[i] = Draw(row, read(words[i*kernels.DrawWords:]))
	}
	kernels.Upload(d, ids, out)
}

// read is the inverse of kernels.Draw.Append.
func read(words []int32) kernels.Draw {
	long := func(i int) uint64 { return uint64(uint32(words[i])) | uint64(uint32(words[i+1]))<<32 }
	return kernels.Draw{Random: long(0), Below: math.Float64frombits(long(2)), Leave: math.Float64frombits(long(4)),
		Scale: math.Float32frombits(uint32(words[6])), TopK: words[7]}
}
