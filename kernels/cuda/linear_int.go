package cuda

import "github.com/llmqat/llmqat/kernels"

// fewKernels are linear_int_few.cu's, for up to so many tokens; a CTA has rows of
// the weight.
var fewKernels = []struct {
	tokens, rows int
	names        [2]string // Int4, Int8
}{
	{8, 16, [2]string{"linear_w4_8", "linear_w8_8"}},
	{16, 16, [2]string{"linear_w4_16", "linear_w8_16"}},
	{32, 32, [2]string{"linear_w4_32", "linear_w8_32"}},
}

// linearTile is one of linear_int.cu's kernels: tiles of side tokens by side rows.
type linearTile struct {
	side    int
	threads uint32
	names   [2]string
}

var (
	tile64  = linearTile{64, 128, [2]string{"linear_w4_tile64", "linear_w8_tile64"}}
	tile128 = linearTile{128, 256, [2]string{"linear_w4_tile128", "linear_w8_tile128"}}
)

const (
	fewThreads  = 256
	mergeThread = 256
	linearStep  = 64 // inputs that a tile takes at a time
	// minSplitSteps is how many steps a CTA should do: filling its stages costs 3.
	minSplitSteps = 8
)

// linearInt queues the product of integer rows with int4 or int8.
func (d *Device) linearInt(l linearParams, x kernels.Rows) {
	typ, q, scale, n, depth := l.weights[0].Type, at(x.Q), at(x.Scale), uint64(x.N), uint64(x.Stride)
	for _, k := range fewKernels {
		if x.N <= k.tokens {
			s := shape{ctas: [3]uint32{l.ctas(k.rows), 1, 1}, threads: fewThreads}
			d.launchLinear(k.names[typ], s, &l, q, scale, n, depth)
			return
		}
	}
	tile, splits := d.cutLinear(&l, x.N, x.Stride)
	var partial uint64
	if splits > 1 {
		partial = d.scratch(splits * x.N * l.rows() * 4)
	}
	s := shape{ctas: [3]uint32{ceil(x.N, tile.side), l.ctas(tile.side), uint32(splits)}, threads: tile.threads}
	d.launchLinear(tile.names[typ], s, &l, partial, q, scale, n, depth)
	if splits > 1 {
		s := shape{ctas: [3]uint32{ceil(l.rows(), mergeThread), uint32(x.N), 1}, threads: mergeThread}
		d.launchLinear("linear_int_merge", s, &l, partial, uint64(splits), scale)
	}
}

// cutLinear chooses tiles, and into how many parts their inputs are split: large tiles
// where they give every SM work, else small ones, split until they do.
func (d *Device) cutLinear(l *linearParams, tokens, depth int) (tile linearTile, splits int) {
	sms := d.driver.Multiprocessors()
	ctas := func(t linearTile) int { return int(ceil(tokens, t.side) * l.ctas(t.side)) }
	if ctas(tile128) >= sms {
		return tile128, 1
	}
	return tile64, max(1, min(sms/ctas(tile64), depth/linearStep/minSplitSteps))
}
