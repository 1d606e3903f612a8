package cuda

import "github.com/llmqat/llmqat/kernels"

// fewKernels are linear_int_few.cu's, for up to so many tokens.
var fewKernels = []struct {
	tokens int
	names  [2]string // Int4, Int8
}{
	{8, [2]string{"linear_w4_8", "linear_w8_8"}},
	{16, [2]string{"linear_w4_16", "linear_w8_16"}},
}

// fewRows is how many rows of a weight a CTA of theirs has, fewStages how many pieces a
// thread asks for ahead.
const fewThreads, fewRows, fewStages = 256, 16, 4

// linearTile is one of linear_int.cu's kernels: a CTA does tokens by rows, step inputs
// at a time.
type linearTile struct {
	tokens, rows, step int
	stages             [2]int // Int4, Int8
	threads            uint32
	names              [2]string
}

var (
	tile32  = &linearTile{32, 128, 128, [2]int{6, 4}, 128, [2]string{"linear_w4_tile32", "linear_w8_tile32"}}
	tile64  = &linearTile{64, 128, 128, [2]int{6, 4}, 128, [2]string{"linear_w4_tile64", "linear_w8_tile64"}}
	tile128 = &linearTile{128, 128, 64, [2]int{4, 3}, 256, [2]string{"linear_w4_tile128", "linear_w8_tile128"}}
	tile256 = &linearTile{128, 256, 64, [2]int{4, 4}, 256, [2]string{"linear_w4_tile256", "linear_w8_tile256"}}
)

// minSplitSteps is how many steps a CTA should do: before the first, 5 are asked for,
// and the sums that it leaves and the last one reads are L2's traffic of 4 (tile64).
const minSplitSteps = 8

// linearInt queues the product of integer rows with int4 or int8.
func (d *Device) linearInt(l linearParams, x kernels.Rows) {
	typ := l.weights[0].Type
	for _, k := range fewKernels {
		if x.N <= k.tokens {
			words := 2 + ceil(x.N, 8)*[...]uint32{2, 1}[typ] // of 16 bytes a thread has of a piece
			s := shape{ctas: [3]uint32{l.ctas(fewRows), 1, 1}, threads: fewThreads, shared: fewStages * words * fewThreads * 16}
			d.launchLinear(k.names[typ], s, &l, at(x.Q), at(x.Scale), uint64(x.N), uint64(x.Stride))
			return
		}
	}
	tile, splits := cutLinear(d.driver.Multiprocessors(), &l, x.N, x.Stride)
	d.linearTile(tile, splits, l, x)
}

// linearTile queues it with tiles of a kind, whose inputs are split over CTAs.
func (d *Device) linearTile(t *linearTile, splits int, l linearParams, x kernels.Rows) {
	typ := l.weights[0].Type
	s := shape{ctas: [3]uint32{ceil(x.N, t.tokens), l.ctas(t.rows), uint32(splits)}, threads: t.threads}
	s.shared = uint32(t.stages[typ] * (t.tokens*t.step + t.rows*typ.RowBytes(t.step)))
	var partial uint64
	if splits > 1 {
		partial = d.scratch(t.ctas(&l, x.N) * splits * t.tokens * t.rows * 4)
	}
	d.launchLinear(t.names[typ], s, &l, partial, uint64(d.tickets.at), at(x.Q), at(x.Scale), uint64(x.N), uint64(x.Stride))
}

// cutLinear chooses tiles, and over how many CTAs their inputs are split: the largest
// tiles that keep SMs busy in every wave, three quarters of them on average; else small
// ones, of up to a CTA for each SM. Up to 64 tokens wait for memory, whatever the tile.
func cutLinear(sms int, l *linearParams, tokens, depth int) (t *linearTile, splits int) {
	if tokens > tile64.tokens {
		for _, t := range []*linearTile{tile256, tile128} {
			ctas := t.ctas(l, tokens)
			if waves := int(ceil(ctas, sms)); 4*ctas >= 3*waves*sms {
				return t, 1
			}
		}
	}
	if t = tile64; tokens <= tile32.tokens {
		t = tile32
	}
	return t, max(1, min(sms/t.ctas(l, tokens), depth/t.step/minSplitSteps))
}

// ctas is the number of tiles.
func (t *linearTile) ctas(l *linearParams, tokens int) int {
	return int(ceil(tokens, t.tokens) * l.ctas(t.rows))
}
