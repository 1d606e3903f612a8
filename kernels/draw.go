package kernels

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/kernels/fp"
)

// Drawer is a Device that draws tokens itself, so that only their ids go to the host.
type Drawer interface {
	Device

	// Draw sets ids [T] to tokens drawn from logits [T, vocab], row i's as the
	// DrawWords words of draws [T·DrawWords] from i·DrawWords on say (Draw.Append), and
	// to NoToken where none is wanted or no logit is above -Inf.
	Draw(ids Buf[int32], logits Floats, draws Buf[int32])
}

// Draw says how a row's token is drawn. What is left for the device is exact, in
// whole numbers and single IEEE operations, so every device draws the same token:
//
// A NaN counts as -Inf, which is never drawn, and +Inf as the largest float32. Tokens
// go from the largest logit, top, to the smallest, of equals by id. Those below
// float32(float64(top) - Below) are out, then all but the first TopK. The others
// weigh fp.Exp((logit-top)·Scale)·2⁴⁰, rounded half to even, and their weights come to
// a sum. The last tokens are out, too, as long as what is left weighs
// sum - min(⌊Leave·sum⌋, sum-1) or more, Leave·sum a float64. Of the others' sum the
// first 64 bits of Random·sum are the target, and the token is the one at the target
// where their weights are counted by id.
type Draw struct {
	Random uint64  // 64 random bits
	Below  float64 // 0 or more; +Inf leaves all
	Leave  float64 // 0 to 1; 0 leaves all
	Scale  float32 // 1/temperature, 2⁻⁷ to 2¹⁰⁰; 0: no token is wanted
	TopK   int32   // 0: all; 1: the most likely
}

// DrawWords is the length of a Draw in device memory.
const DrawWords = 8

// NoToken is the id of no token.
const NoToken = -1

// Append appends d's words, the low halves of 64 bits first.
func (d *Draw) Append(words []int32) []int32 {
	below, leave := math.Float64bits(d.Below), math.Float64bits(d.Leave)
	return append(words, int32(d.Random), int32(d.Random>>32), int32(below), int32(below>>32),
		int32(leave), int32(leave>>32), int32(math.Float32bits(d.Scale)), d.TopK)
}

// CheckDraw checks the operands of Drawer.Draw. The weights of 2²³ tokens add up to less
// than 2⁶³ + 1.
func CheckDraw(op string, ids Buf[int32], logits Floats, draws Buf[int32]) {
	if ids.N != logits.Rows || draws.N != logits.Rows*DrawWords || logits.Cols < 1 || logits.Cols > 1<<23 || logits.Stride%fp.Lanes != 0 {
		panic(fmt.Sprintf("%s: %d ids and %d words of draws for logits [%d, %d] with rows %d apart; want an id and %d words a row, of 1 to %d logits",
			op, ids.N, draws.N, logits.Rows, logits.Cols, logits.Stride, DrawWords, 1<<23))
	}
	whole(op, "logits", logits.lack())
}
