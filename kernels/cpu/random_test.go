package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/llmqat/llmqat/internal/long"
	"github.com/llmqat/llmqat/kernels"
)

// randomShapes returns how many random shapes a test tries, and the seed of the first.
func randomShapes(t *testing.T, few, short int) (seed uint64, n int) {
	t.Helper()
	return long.Seed(t), long.Rounds(t, few, short)
}

// TestRandomShapes holds every instruction set, with a random number of workers,
// to the generic one over operators of random shapes: the same bits.
func TestRandomShapes(t *testing.T) {
	ops := []struct {
		name string
		op   func(t *testing.T, r *rand.Rand) func(d *Device) [][]byte
	}{
		{"rows", randomRows}, {"linear of ints", randomLinearInts},
		{"linear of floats", randomLinearFloats}, {"attention", randomAttention},
	}
	definition := must(New(1, generic.name))
	defer definition.Close()
	first, n := randomShapes(t, 60, 8)
	for i := range n {
		seed := first + uint64(i)
		r := rand.New(rand.NewPCG(seed, 77))
		op := ops[seed%uint64(len(ops))]
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			run := op.op(t, r)
			want := run(definition)
			for _, name := range ISAs() {
				d := must(New(1+r.IntN(6), name))
				got := run(d)
				if err := d.Sync(); err != nil {
					t.Error(err)
				}
				d.Close()
				for i := range want {
					same(t, fmt.Sprintf("%s, %d workers, %s, buffer %d", name, d.Workers(), op.name, i), got[i], want[i])
				}
			}
		})
	}
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func randomRows(_ *testing.T, r *rand.Rand) func(d *Device) [][]byte {
	tokens, cols, bits := 1+r.IntN(150), 1+r.IntN(700), pick(r, 4, 6, 8, 16)
	return func(d *Device) [][]byte { return rowResults(d, tokens, cols, bits) }
}

func randomLinearInts(t *testing.T, r *rand.Rand) func(d *Device) [][]byte {
	tokens := 1 + r.IntN(pick(r, 10, 300))
	types, outs := []kernels.WeightType{}, []int{}
	for range 1 + r.IntN(3) {
		types, outs = append(types, pick(r, kernels.Int4, kernels.Int8)), append(outs, 1+r.IntN(90))
	}
	l := newIntLayer(r, tokens, 1+r.IntN(900), pick(r, 7, 31, 127), types, outs)
	x, w := l.rows(t, 8), l.weights(t)
	return func(d *Device) [][]byte {
		out := must(kernels.NewFloats(d, tokens, l.outs()))
		d.Linear(out, x, w...)
		sum := must(kernels.NewFloats(d, tokens, w[0].Out))
		d.Linear(sum, x, w[0])
		d.LinearAdd(sum, x, w[0])
		return [][]byte{asBytes(view(out.Buf)), asBytes(view(sum.Buf))}
	}
}

func randomLinearFloats(t *testing.T, r *rand.Rand) func(d *Device) [][]byte {
	tokens := 1 + r.IntN(pick(r, 8, 70, 280))
	l := newLinearCase(t, pick(r, allTypes...), pick(r, "normal", "wide"), 1+r.IntN(70), 1+r.IntN(900), tokens)
	l.w.Data = bufOf(l.data)
	if l.scale != nil {
		l.w.Scale = bufOf(l.scale)
	}
	x := kernels.Rows{Bits: 16, N: tokens, Cols: l.w.In, Stride: l.row}
	x.F = kernels.Floats{Buf: bufOf(l.x), Rows: tokens, Cols: l.w.In, Stride: l.row}
	return func(d *Device) [][]byte {
		out := must(kernels.NewFloats(d, tokens, l.w.Out))
		d.Linear(out, x, l.w)
		d.LinearAdd(out, x, l.w)
		return [][]byte{asBytes(view(out.Buf))}
	}
}

func randomAttention(_ *testing.T, r *rand.Rand) func(d *Device) [][]byte {
	kv, qBits := pick(r, allFormats...), pick(r, 8, 16)
	kvHeads, dim := 1+r.IntN(3), 2*(1+r.IntN(pick(r, 20, 128)))
	heads := kvHeads * (1 + r.IntN(4))
	context := 1 + r.IntN(max(4, min(600, 100000/(heads*dim))))
	chunk := 1 + r.IntN(context)
	return func(d *Device) [][]byte {
		return [][]byte{asBytes(newLayer(d, kv, heads, kvHeads, dim, qBits, context, scattered).steps(chunk))}
	}
}
