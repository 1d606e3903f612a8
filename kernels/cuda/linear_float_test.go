//go:build cuda

package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// TestFloatRowsInAnyBatch: a float row's product has the same bits among few others and
// among many, whatever kernel and however many CTAs compute it. Kernels differ by type in
// no barrier, so that one type runs under all schedules.
func TestFloatRowsInAnyBatch(t *testing.T) {
	for _, seed := range schedules {
		t.Run("seed="+seed, func(t *testing.T) {
			t.Setenv("LLMQAT_EMU_SEED", seed)
			for typ := kernels.Int4; typ <= kernels.Float32; typ++ {
				if seed != schedules[0] && typ != kernels.Float16 {
					continue
				}
				d := newTestDevice(t)
				d.driver = procs{d.driver, 1} // so that a CTA does several tiles
				s := &bitsCase{T: t, dev: d, rand: rand.New(rand.NewPCG(1, uint64(typ)))}
				c := s.newBatchCase(typ)
				for _, c.add = range []bool{false, true} {
					c.check(d)
				}
				d.Close()
			}
		})
	}
}

// batchCase is a product of many rows with weights side by side; or, if add, with the
// first of them.
type batchCase struct {
	*bitsCase
	x      kernels.Rows
	w      []kernels.Weight
	before []float32 // what outputs hold
	add    bool
}

// newBatchCase has weights that end within a tile, one of them of a row, so that the
// next one's outputs begin at an odd column; and 7 runs of inputs, 4 in the first half.
func (s *bitsCase) newBatchCase(typ kernels.WeightType) *batchCase {
	const n, in = 40, 7 * quant.RowAlign
	c := &batchCase{bitsCase: s, x: s.rows(n, in, 16)}
	s.dev.Quantize(c.x, s.floats(n, in))
	for _, out := range []int{130, 1, 140} {
		data := s.bytes(out * typ.RowBytes(in))
		if !typ.Quantized() { // |w| < 2, and no NaNs
			for i := range data {
				data[i] &= 0xbf
			}
		}
		w := kernels.Weight{Type: typ, Out: out, In: in, Data: put(s, data)}
		if typ.Quantized() {
			w.Scale = s.floats(1, out).Buf.Slice(0, out)
		}
		c.w = append(c.w, w)
	}
	for range n * quant.Align(271) {
		c.before = append(c.before, float32(s.rand.NormFloat64()))
	}
	return c
}

// result returns what do makes of the outputs, padding included.
func (c *batchCase) result(name string, do func(out kernels.Floats, w []kernels.Weight)) output {
	w, cols := c.w, 271
	if c.add {
		w, cols = c.w[:1], c.w[0].Out
	}
	out := kernels.Floats{Rows: c.x.N, Cols: cols, Stride: quant.Align(cols)}
	out.Buf = put(c.bitsCase, c.before[:out.Rows*out.Stride])
	do(out, w)
	c.results = nil
	read(c.bitsCase, fmt.Sprintf("%v, %s, added %v", w[0].Type, name, c.add), out.Buf)
	if err := c.dev.Sync(); err != nil {
		c.Fatalf("%s: %v", c.results[0].name, err)
	}
	return c.results[0]
}

// check compares the bits of rows alone with those of any other way.
func (c *batchCase) check(d *Device) {
	few := func(few int) output {
		return c.result(fmt.Sprint(few, " at a time"), func(out kernels.Floats, w []kernels.Weight) {
			for row := 0; row < c.x.N; row += few {
				part, x := out.Part(row, min(row+few, c.x.N)), c.x
				x.N, x.F = part.Rows, c.x.F.Part(row, row+part.Rows)
				if c.add {
					d.LinearAdd(part, x, w[0])
				} else {
					d.Linear(part, x, w...)
				}
			}
		})
	}
	want, got := few(1), []output{few(fewFloatTokens), few(fewFloatTokens + 1), few(c.x.N)}
	for i := range floatTiles {
		for splits := 1; splits <= 2 && c.w[0].Type != kernels.Float32; splits++ {
			tile := &floatTiles[i]
			got = append(got, c.result(fmt.Sprintf("tiles of %dx%d, %d splits", tile.tokens, tile.rows, splits), func(out kernels.Floats, w []kernels.Weight) {
				l := linearParams{out: at(out.Buf), stride: uint64(out.Stride), weights: w}
				if c.add {
					l.add = 1
				}
				failed, op := d.check("Linear", errProduct)
				d.linearTiles(tile, splits, l, c.x, failed, op)
			}))
		}
	}
	for _, got := range got {
		for i, v := range got.values {
			if stride := len(got.values) / c.x.N; v != want.values[i] {
				c.Fatalf("%s: row %d, column %d is %v, alone %v", got.name, i/stride, i%stride, v, want.values[i])
			}
		}
	}
}

// TestFloatRowsFail: a row fails that holds what its type has no number for, or whose
// product has none, with weights of zero too.
func TestFloatRowsFail(t *testing.T) {
	d := newTestDevice(t)
	const n, in, out, bad = 40, 128, 20, 33
	nan := float32(math.NaN())
	for _, c := range []struct {
		typ   kernels.WeightType
		x     float32
		fails bool
	}{
		{kernels.Float16, 65519, false}, {kernels.Float16, 65520, true}, {kernels.Int4, -65520, true}, {kernels.Int8, 65520, true},
		{kernels.BFloat16, 65520, false}, {kernels.BFloat16, math.MaxFloat32, true}, {kernels.BFloat16, nan, true},
		{kernels.Float32, 1e38, false}, {kernels.Float32, nan, true},
	} {
		s := &bitsCase{T: t, dev: d, rand: rand.New(rand.NewPCG(1, 1))}
		zeros := make([]byte, out*c.typ.RowBytes(in))
		w := kernels.Weight{Type: c.typ, Out: out, In: in}
		if c.typ.Quantized() {
			w.Scale = put(s, slices.Repeat([]float32{1}, out))
		}
		if c.typ == kernels.Int4 {
			zeros = slices.Repeat([]byte{0x88}, len(zeros))
		}
		w.Data = put(s, zeros)
		values := make([]float32, n*in)
		values[bad*in+in-1] = c.x
		x := kernels.Rows{Bits: 16, N: n, Cols: in, Stride: in, F: kernels.Floats{Buf: put(s, values), Rows: n, Cols: in, Stride: in}}
		few := x
		few.N, few.F = 3, x.F.Part(bad-1, bad+2)
		y := s.floats(n, out)
		for _, r := range []struct {
			operator string
			row      int
			run      func()
		}{
			{"Linear", bad, func() { d.Linear(y, x, w) }},
			{"LinearAdd", bad, func() { d.LinearAdd(y, x, w) }},
			{"Linear", 1, func() { d.Linear(y.First(3), few, w) }},
		} {
			r.run()
			err := d.Sync()
			if !c.fails && err != nil {
				t.Errorf("%v times %v: %v", c.typ, c.x, err)
			}
			if c.fails {
				want(t, err, fmt.Sprintf("%s: row %d: ", r.operator, r.row), "beyond float16 (65504;", quant.ErrNotFinite.Error())
			}
		}
	}
}

// TestFloatTiles: tiles fit into the shared memory of every GPU since sm_80, fill the
// GPU, and are split only where both halves have inputs.
func TestFloatTiles(t *testing.T) {
	for i := range floatTiles {
		for typ := kernels.Int4; typ < kernels.Float32; typ++ {
			if n := floatTiles[i].shared(typ); n > 99<<10 {
				t.Errorf("%s has %d bytes of shared memory, sm_86 allows %d", floatTiles[i].names[typ], n, 99<<10)
			}
		}
	}
	d := &Device{driver: procs{n: 132}}
	for _, c := range []struct {
		tokens, out, in int
		tile            string
		splits          int
	}{
		{9, 4096, 4096, "linear_f16_16x64", 2},      // 64 tiles
		{64, 4096, 4096, "linear_f16_64x64", 2},     // 64 tiles
		{64, 32000, 4096, "linear_f16_128x256", 1},  // 125, each weight from L2 once
		{512, 4096, 11008, "linear_f16_128x256", 2}, // 64 tiles
		{2048, 22016, 4096, "linear_f16_128x256", 1},
		{40, 100, 64, "linear_f16_16x64", 1}, // a run: no halves
	} {
		l := linearParams{weights: []kernels.Weight{{Type: kernels.Float16, Out: c.out, In: c.in}}}
		if tile, splits := d.cutFloat(&l, c.tokens, c.in); tile.names[kernels.Float16] != c.tile || splits != c.splits {
			t.Errorf("%d tokens, weight [%d, %d]: %s in %d splits, want %s in %d", c.tokens, c.out, c.in, tile.names[kernels.Float16], splits, c.tile, c.splits)
		}
	}
}
