package kerneltest

import (
	"fmt"
	"maps"
	"math"
	"math/bits"
	"math/rand/v2"
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

// Logits returns rows of n logits of every shape that matters to how tokens are drawn.
func Logits(r *rand.Rand, n int) map[string][]float32 {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	rows := map[string][]float32{}
	for _, s := range []struct {
		name  string
		logit func(i int) float32
	}{
		{"all equal", func(int) float32 { return -3 }},
		{"zeros", func(i int) float32 { return []float32{0, float32(math.Copysign(0, -1))}[i%2] }},
		{"two values", func(i int) float32 { return float32(i % 2) }},
		{"few values", func(int) float32 { return float32(r.IntN(5)) }},
		{"rising", func(i int) float32 { return float32(i) / float32(n) * 40 }},
		{"falling", func(i int) float32 { return -float32(i) / float32(n) * 4 }},
		{"normal", func(int) float32 { return float32(2 * r.NormFloat64()) }},
		{"sure", func(i int) float32 { return float32(r.NormFloat64()) + float32(30*((i+1)/n)) }},
		{"far", func(int) float32 { return float32(1e30 * r.NormFloat64()) }},
		{"close", func(i int) float32 { return 5 + float32(r.IntN(400))*0x1p-21 + float32((i+1)/n) }},
		{"halving", func(int) float32 { return float32(math.Ldexp(1+r.Float64(), -r.IntN(150))) }},
		{"largest", func(i int) float32 { return []float32{math.MaxFloat32, -math.MaxFloat32, inf}[i%3] }},
		{"denormal", func(int) float32 { return math.Float32frombits(uint32(r.IntN(100))) }},
		{"all but one", func(i int) float32 { return []float32{-inf, 1}[1-min(1, (n-1-i))] }},
		{"mostly NaN", func(i int) float32 { return []float32{nan, 1, 2}[max(0, i+3-n)] }},
		{"few above -Inf", func(i int) float32 { return []float32{-inf, float32(i)}[min(1, r.IntN(20)/19)] }},
		{"none", func(i int) float32 { return []float32{-inf, nan}[i%2] }},
	} {
		row := make([]float32, n)
		for i := range row {
			row[i] = s.logit(i)
		}
		rows[s.name] = row
	}
	return rows
}

// testDraw holds a device that draws tokens to the definition: rows of all shapes
// and any cuts in one launch, in vocabularies of one warp and of many.
func testDraw(e *env) {
	dev, ok := e.dev.(kernels.Drawer)
	if !ok {
		return
	}
	for _, n := range []int{1, 2, 7, 31, 100, 128, 129, 500, 1003} {
		shapes := Logits(e.rand, n)
		var rows [][]float32
		var names []string
		for _, name := range slices.Sorted(maps.Keys(shapes)) {
			for range 20 {
				rows, names = append(rows, shapes[name]), append(names, name)
			}
		}
		draws := make([]kernels.Draw, len(rows))
		for i := range draws {
			draws[i] = kernels.Draw{
				Random: oneOf(e, 0, math.MaxUint64, e.rand.Uint64()), Below: oneOf(e, math.Inf(1), math.Inf(1), 0, 1e-30, 1, 8),
				Leave: oneOf(e, 0, 0, 0x1p-53, 0.01, 0.5, 0.9999, 1), Scale: oneOf[float32](e, 0x1p100, 1e5, 1.5, 1, 0.01), TopK: int32(oneOf(e, 0, 0, 1, 2, 3, 40, n, n+1)),
			}
			switch e.rand.IntN(20) {
			case 0:
				draws[i] = kernels.Draw{}
			case 1, 2, 3, 4, 5: // the last that min-p leaves, or the first that it does not
				row := rows[i]
				if below := float64(slices.Max(row)) - float64(row[e.rand.IntN(n)]); below <= math.MaxFloat32 {
					draws[i].Below = max(0, math.Nextafter(below, oneOf(e, -1, below, math.Inf(1))))
				}
			}
		}
		e.draws(dev, rows, draws, names)
	}
}

func oneOf[T any](e *env, of ...T) T { return of[e.rand.IntN(len(of))] }

// draws draws from all rows at once.
func (e *env) draws(dev kernels.Drawer, rows [][]float32, draws []kernels.Draw, names []string) {
	var words []int32
	for i := range draws {
		words = draws[i].Append(words)
	}
	ids := upload(e, filled(len(rows), int32(garbage)))
	dev.Draw(ids, e.floats(slices.Concat(rows...), len(rows), len(rows[0])), upload(e, words))
	for i, got := range download(e, ids) {
		if want := Draw(rows[i], draws[i]); got != want {
			e.Errorf("%d logits, %s: %+v gives token %d, want %d", len(rows[i]), names[i], draws[i], got, want)
		}
	}
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
