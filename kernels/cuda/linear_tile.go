package cuda

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// floatTile is one of linear_a16.cu's kernels: tiles of so many tokens by so many rows.
type floatTile struct {
	tokens, rows int
	threads      uint32
	perSM        int         // CTAs that an SM runs at a time
	stages       [4]struct { // by weight type
		inputs, n int
	}
	names [4]string
}

var roundKernels = [...]string{"linear_round_f16", "linear_round_f16", "linear_round_f16", "linear_round_bf16"}

// floatTiles are all of them, large ones first.
var floatTiles = func() []floatTile {
	type stages = [4]struct{ inputs, n int }
	tiles := []floatTile{
		{tokens: 128, rows: 256, threads: 256, perSM: 1, stages: stages{{64, 4}, {64, 3}, {32, 4}, {32, 4}}},
		{tokens: 128, rows: 128, threads: 128, perSM: 2, stages: stages{{64, 4}, {64, 3}, {32, 4}, {32, 4}}},
		{tokens: 64, rows: 64, threads: 128, perSM: 2, stages: stages{{64, 5}, {64, 5}, {64, 5}, {64, 5}}},
		{tokens: 32, rows: 64, threads: 128, perSM: 3, stages: stages{{64, 6}, {64, 6}, {64, 6}, {64, 6}}},
		{tokens: 16, rows: 64, threads: 128, perSM: 3, stages: stages{{64, 6}, {64, 6}, {64, 6}, {64, 6}}},
	}
	for i := range tiles {
		t := &tiles[i]
		for typ, name := range []string{"w4a16", "w8a16", "f16", "bf16"} {
			t.names[typ] = fmt.Sprintf("linear_%s_%dx%d", name, t.tokens, t.rows)
		}
	}
	return tiles
}()

// shared is the tile's dynamic shared memory: stages of float16 tokens and of rows.
func (t *floatTile) shared(typ kernels.WeightType) uint32 {
	s := t.stages[typ]
	return uint32(s.n * s.inputs * (t.tokens*2*quant.RowAlign + t.rows*typ.RowBytes(quant.RowAlign)) / quant.RowAlign)
}

// count is the number of tiles of a product.
func (t *floatTile) count(l *linearParams, tokens int) int {
	return int(ceil(tokens, t.tokens) * l.ctas(t.rows))
}

// sumBytes is the size of a tile's sums.
func (t *floatTile) sumBytes() int { return t.tokens * t.rows * 4 }

const (
	// What bounds an SM (linear_a16.cu): products of the tensor cores, and bytes from L2,
	// a clock.
	smProducts, smBytes = 1024, 24
	// fillClocks is what a tile waits for its first inputs.
	fillClocks = 1500
	// maxSums is how much of L2, 40 MiB on an A100, halves' sums may take.
	maxSums = 32 << 20
)

// cutFloat chooses the tile, and whether its inputs are split in two, such that the SM
// with the most work has least, by computing.
func (d *Device) cutFloat(l *linearParams, tokens, depth int) (best *floatTile, splits int) {
	sms, rowBytes := d.driver.Multiprocessors(), l.weights[0].Type.RowBytes(quant.RowAlign)
	runs, least := depth/quant.RowAlign, 0
	for i := range floatTiles {
		t := &floatTiles[i]
		run := max(t.tokens*t.rows*quant.RowAlign/smProducts, (t.tokens*2*quant.RowAlign+t.rows*rowBytes)/smBytes)
		for s := 1; s <= min(2, runs); s++ {
			tiles := t.count(l, tokens)
			if s == 2 && (tiles > maxTickets || 2*tiles*t.sumBytes() > maxSums) {
				break
			}
			// half of the sums are left and taken back, then all stored
			item := fillClocks + run*int(ceil(runs, s)) + 3*t.sumBytes()/smBytes
			if clocks := int(ceil(tiles*s, sms)) * item; best == nil || clocks < least {
				best, splits, least = t, s, clocks
			}
		}
	}
	return best, splits
}
