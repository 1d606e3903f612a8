package cpu

import (
	"unsafe"

	"github.com/llmqat/llmqat/kernels/fp"
)

// genericPanelRows is the generic tile's height.
const genericPanelRows = 4

func floatTile2Generic(total, panel, x *float32, stride, n int) {
	floatTileGeneric(2, total, panel, x, stride, n)
}

func floatTile3Generic(total, panel, x *float32, stride, n int) {
	floatTileGeneric(3, total, panel, x, stride, n)
}

// floatTileGeneric does one output after another: per block fresh lanes by FMA,
// which are then added to the output's total.
func floatTileGeneric(tokens int, total, panel, x *float32, stride, n int) {
	const rows, lanes = genericPanelRows, fp.Lanes
	totals := unsafe.Slice(total, tokens*rows*lanes)
	ws := unsafe.Slice(panel, n*rows)
	for t := range tokens {
		xs := unsafe.Slice((*float32)(unsafe.Add(unsafe.Pointer(x), 4*t*stride)), n)
		for r := range rows {
			sum := totals[(t*rows+r)*lanes:][:lanes]
			for b := 0; b < n; b += fp.Block {
				var acc [lanes]float32
				for i := b; i < min(b+fp.Block, n); i++ {
					w := ws[(i/lanes*rows+r)*lanes+i%lanes]
					acc[i%lanes] = fp.FMA(w, xs[i], acc[i%lanes])
				}
				for l := range acc {
					sum[l] += acc[l]
				}
			}
		}
	}
}

// floatSumsGeneric returns the sums for panels of the given height.
func floatSumsGeneric(panelRows int) sumsFunc {
	return func(out []float32, stride int, total []float32, tokens, rows int, scale []float32, add bool) {
		for t := range tokens {
			for r := range rows {
				y := fp.Sum8((*[fp.Lanes]float32)(total[(t*panelRows+r)*fp.Lanes:]))
				if scale != nil {
					y = float32(y * scale[r])
				}
				store(&out[t*stride+r], y, add)
			}
		}
	}
}
