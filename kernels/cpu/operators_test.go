package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/kerneltest"
	"github.com/llmqat/llmqat/kernels/quant"
)

// eachDevice runs f on a device of every instruction set; under -short without the
// generic one where there is another, since its float32 FMAs are slow, and it is
// what the others' loops are compared with anyway.
func eachDevice(t *testing.T, workers int, f func(t *testing.T, d *Device)) {
	eachISA(t, func(t *testing.T, k *isa) {
		if testing.Short() && k.name == generic.name && len(available) > 1 {
			t.Skip("-short: leaves the generic kernels to the others' definitions")
		}
		d, err := New(workers, k.name)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		f(t, d)
	})
}

func TestOperators(t *testing.T) {
	eachDevice(t, 3, func(t *testing.T, d *Device) { kerneltest.Run(t, d) })
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (d *Device) testFloats(r *rand.Rand, rows, cols int) kernels.Floats {
	x := must(kernels.NewFloats(d, rows, cols))
	v := view(x.Buf)
	for i := range v {
		if i%x.Stride < cols {
			v[i] = float32(r.NormFloat64())
		}
	}
	return x
}

// rowResults returns what the row operators make of seeded inputs, as bytes.
func rowResults(d *Device, tokens, cols, bits int) (results [][]byte) {
	r := rand.New(rand.NewPCG(uint64(tokens), uint64(cols)))
	x, gateUp := d.testFloats(r, tokens, cols), d.testFloats(r, tokens, 2*cols)
	w := d.testFloats(r, 1, cols).Buf
	for _, run := range []func(out kernels.Rows){
		func(out kernels.Rows) { d.Quantize(out, x) },
		func(out kernels.Rows) { d.RMSNorm(out, x, w, 1e-5) },
		func(out kernels.Rows) { d.SwiGLU(out, gateUp) },
	} {
		out := must(kernels.NewRows(d, tokens, cols, bits))
		run(out)
		results = append(results, asBytes(view(out.Q)), asBytes(view(out.Scale)), asBytes(view(out.Sum)), asBytes(view(out.F.Buf)))
	}
	if err := d.Sync(); err != nil {
		panic(err)
	}
	return results
}

// Row operators have the same bits on every instruction set, with any number of
// workers.
func TestRowOperatorsSameBits(t *testing.T) {
	d := must(New(1, "generic"))
	defer d.Close()
	for _, workers := range []int{1, 3} {
		eachDevice(t, workers, func(t *testing.T, k *Device) {
			for _, tokens := range []int{1, 5, 65} {
				for _, cols := range []int{8, 172, 192, 1000} {
					for _, bits := range []int{4, 6, 8, 16} {
						want, got := rowResults(d, tokens, cols, bits), rowResults(k, tokens, cols, bits)
						for i := range want {
							same(t, fmt.Sprintf("%d workers, [%d, %d], %d bits, buffer %d", workers, tokens, cols, bits, i), got[i], want[i])
						}
					}
				}
			}
		})
	}
}

// Calls after the first allocate nothing.
func TestOperatorsDoNotAllocate(t *testing.T) {
	eachDevice(t, 2, func(t *testing.T, d *Device) {
		r := rand.New(rand.NewPCG(1, 1))
		const tokens, cols, context = 5, 192, 600
		x, gateUp := d.testFloats(r, tokens, cols), d.testFloats(r, tokens, 2*cols)
		out := must(kernels.NewRows(d, tokens, cols, 8))
		rows := must(kernels.Alloc[int32](d, tokens))
		gathered := must(kernels.NewFloats(d, tokens, cols))
		a := newLayer(d, quant.KV{Bits: 4, Scheme: quant.KVHeadZP}, 8, 2, 32, 8, context, inOrder)
		a.run(0, context-tokens)
		for _, op := range []struct {
			name string
			run  func()
		}{
			{"Quantize", func() { d.Quantize(out, x) }},
			{"RMSNorm", func() { d.RMSNorm(out, x, x.First(1).Buf, 1e-5) }},
			{"SwiGLU", func() { d.SwiGLU(out, gateUp) }},
			{"Gather", func() { d.Gather(gathered, x, rows) }},
		} {
			if n := testing.AllocsPerRun(20, op.run); n != 0 {
				t.Errorf("%s allocates %v times", op.name, n)
			}
		}
		b, q, qkv := a.batch(context-tokens, context), a.queries(tokens), a.qkv(context-tokens, context)
		attn := must(kernels.NewFloats(d, tokens, a.heads*a.dim))
		if n := testing.AllocsPerRun(20, func() { d.RoPEAppendKV(q, a.kv, qkv, b, a.rope) }); n != 0 {
			t.Errorf("RoPEAppendKV allocates %v times", n)
		}
		if n := testing.AllocsPerRun(20, func() { d.PagedAttention(attn, q, a.kv, b, a.rope) }); n != 0 {
			t.Errorf("PagedAttention allocates %v times", n)
		}
	})
}
