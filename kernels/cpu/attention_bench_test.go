package cpu

import (
	"fmt"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// A layer of 1.1 billion parameters: TinyLlama's shape.
const (
	benchHidden, benchInter        = 2048, 5632
	benchHeads, benchKV, benchHead = 32, 4, 64
	benchQKV                       = (benchHeads + 2*benchKV) * benchHead
)

type bench struct {
	testing.TB
	d *Device
}

func newBench(b testing.TB, isa string) *bench {
	d, err := New(0, isa)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(d.Close)
	return &bench{b, d}
}

func (b *bench) floats(rows, cols int) kernels.Floats {
	x := must(kernels.NewFloats(b.d, rows, cols))
	v := view(x.Buf)
	for i := range v {
		if i%x.Stride < cols {
			v[i] = float32(i*7919%2003)/1000 - 1
		}
	}
	return x
}

func (b *bench) rope(positions, headDim int) kernels.RoPE {
	r := kernels.RoPE{Positions: positions, HeadDim: headDim}
	r.Cos = must(kernels.Alloc[float32](b.d, positions*headDim/2))
	r.Sin = must(kernels.Alloc[float32](b.d, positions*headDim/2))
	cos, sin := view(r.Cos), view(r.Sin)
	for i := range cos {
		p, j := i/(headDim/2), i%(headDim/2)
		s, c := fp.SinCos(float64(p) * fp.Pow(10000, -2*float64(j)/float64(headDim)))
		cos[i], sin[i] = float32(c), float32(s)
	}
	return r
}

func (b *bench) ints(v ...int32) kernels.Buf[int32] {
	x := must(kernels.Alloc[int32](b.d, len(v)))
	kernels.Upload(b.d, x, v)
	return x
}

// oneSequence is a batch of a sequence's last tokens, pages in order.
func (b *bench) oneSequence(context, tokens int) *kernels.Batch {
	pages := (context + kernels.PageTokens - 1) / kernels.PageTokens
	var pos, table []int32
	for i := range tokens {
		pos = append(pos, int32(context-tokens+i))
	}
	for i := range pages {
		table = append(table, int32(i))
	}
	return &kernels.Batch{
		Positions: b.ints(pos...), Slots: b.ints(pos...), QueryStart: b.ints(0, int32(tokens)), SeqLens: b.ints(int32(context)),
		PageTable: b.ints(table...), T: tokens, S: 1, MaxPages: pages,
	}
}

func BenchmarkRows(b *testing.B) {
	for _, k := range available[1:] {
		for _, tokens := range []int{1, 512} {
			b.Run(fmt.Sprintf("isa=%s/tokens=%d", k.name, tokens), func(b *testing.B) {
				x := newBench(b, k.name)
				h, gu := x.floats(tokens, benchHidden), x.floats(tokens, 2*benchInter)
				hq := must(kernels.NewRows(x.d, tokens, benchHidden, 8))
				iq := must(kernels.NewRows(x.d, tokens, benchInter, 8))
				qkv := x.floats(tokens, benchQKV)
				rope := x.rope(512, benchHead)
				run := func(name string, f func()) {
					b.Run("op="+name, func(b *testing.B) {
						for b.Loop() {
							f()
						}
						b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*tokens), "ns/token")
						if err := x.d.Sync(); err != nil {
							b.Fatal(err)
						}
					})
				}
				w := h.First(1).Buf
				run("rmsnorm", func() { x.d.RMSNorm(hq, h, w, 1e-5) })
				run("quantize", func() { x.d.Quantize(hq, h) })
				run("swiglu", func() { x.d.SwiGLU(iq, gu) })
				for _, bits := range []int{4, 8, 16} {
					q, kv := x.cache(tokens, 512, bits)
					batch := x.oneSequence(tokens, tokens)
					run(fmt.Sprintf("append/kv=%d", bits), func() { x.d.RoPEAppendKV(q, kv, qkv, batch, rope) })
				}
			})
		}
	}
}

// cache returns queries, and a cache of the default scheme.
func (b *bench) cache(tokens, context, bits int) (kernels.Rows, kernels.KVCache) {
	qBits := 8
	if bits > 8 {
		qBits = 16
	}
	q := must(kernels.NewQueries(b.d, tokens*benchHeads, benchHead, qBits))
	kv := must(kernels.NewKVCache(b.d, quant.KV{Bits: bits, Scheme: quant.KVHeadZP}, (context+63)/64, benchKV, benchHead))
	return q, kv
}

func BenchmarkAttention(b *testing.B) {
	for _, k := range available[1:] {
		for _, s := range []struct{ context, tokens int }{{2048, 1}, {8192, 1}, {512, 512}} {
			for _, bits := range []int{4, 8, 16, 32} {
				b.Run(fmt.Sprintf("isa=%s/context=%d/tokens=%d/kv=%d", k.name, s.context, s.tokens, bits), func(b *testing.B) {
					x := newBench(b, k.name)
					q, kv := x.cache(s.context, s.context, bits)
					rope := x.rope(s.context, benchHead)
					x.d.RoPEAppendKV(q, kv, x.floats(s.context, benchQKV), x.oneSequence(s.context, s.context), rope)
					q = q.First(s.tokens * benchHeads)
					out, batch := x.floats(s.tokens, benchHidden), x.oneSequence(s.context, s.tokens)
					for b.Loop() {
						x.d.PagedAttention(out, q, kv, batch, rope)
					}
					b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "us/layer")
					if err := x.d.Sync(); err != nil {
						b.Fatal(err)
					}
				})
			}
		}
	}
}
