//go:build cuda

package cuda

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/fp"
	"github.com/llmqat/llmqat/kernels/quant"
)

// TestSameBitsAsCPU: all operators but linear layers of float rows, whose sums tensor
// cores order, give the CPUs' bits, under all schedules.
func TestSameBitsAsCPU(t *testing.T) {
	gpu := newTestDevice(t)
	for name, run := range map[string]func(s *bitsCase){
		"rows": rowBitsCase, "linear": linearBitsCase, "attention": attentionBitsCase,
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range 16 {
				t.Setenv("LLMQAT_EMU_SEED", schedules[seed%len(schedules)])
				sameBits(t, gpu, seed, run)
			}
		})
	}
}

// sameBits runs a case on both devices with the same random numbers, and wants the
// same results.
func sameBits(t *testing.T, gpu kernels.Device, seed int, run func(s *bitsCase)) {
	t.Helper()
	host, err := cpu.New(1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	var results [2][]output
	for i, dev := range []kernels.Device{host, gpu} {
		s := &bitsCase{T: t, dev: dev, rand: rand.New(rand.NewPCG(uint64(seed), 0))}
		run(s)
		if err := dev.Sync(); err != nil {
			t.Fatal(err)
		}
		results[i] = s.results
		for _, m := range s.mems {
			dev.Free(m)
		}
	}
	for i, want := range results[0] {
		got := results[1][i]
		for j := range want.values {
			if got.values[j] != want.values[j] {
				t.Fatalf("seed %d: %s: value %d of %d is %v, the CPU's is %v", seed, want.name, j, len(want.values), got.values[j], want.values[j])
			}
		}
	}
}

// bitsCase is one case on one device.
type bitsCase struct {
	*testing.T
	dev     kernels.Device
	rand    *rand.Rand
	mems    []kernels.Mem
	results []output
}

// output is what an operator wrote, as numbers: so that zeros of both signs are equal.
type output struct {
	name   string
	values []float64
}

func read[T kernels.Elem](s *bitsCase, name string, b kernels.Buf[T]) {
	v := make([]T, b.N)
	kernels.Download(s.dev, v, b)
	r := output{name: name}
	for _, x := range v {
		r.values = append(r.values, float64(x))
	}
	s.results = append(s.results, r)
}

func (s *bitsCase) readRows(name string, r kernels.Rows) {
	if r.Bits == 16 {
		read(s, name, r.F.Buf)
		return
	}
	read(s, name, r.Q)
	read(s, name+" scales", r.Scale)
	read(s, name+" sums", r.Sum)
}

func keep[T any](s *bitsCase, mem func(T) []kernels.Mem) func(T, error) T {
	return func(v T, err error) T {
		if err != nil {
			s.Fatal(err)
		}
		for _, m := range mem(v) {
			if m != nil {
				s.mems = append(s.mems, m)
			}
		}
		return v
	}
}

func put[T kernels.Elem](s *bitsCase, v []T) kernels.Buf[T] {
	b := keep(s, func(b kernels.Buf[T]) []kernels.Mem { return []kernels.Mem{b.Mem} })(kernels.Alloc[T](s.dev, len(v)))
	kernels.Upload(s.dev, b, v)
	return b
}

func (s *bitsCase) rows(n, cols, bits int) kernels.Rows {
	return keep(s, func(r kernels.Rows) []kernels.Mem { return []kernels.Mem{r.Q.Mem, r.Scale.Mem, r.Sum.Mem, r.F.Mem} })(kernels.NewRows(s.dev, n, cols, bits))
}

func (s *bitsCase) queries(n, cols, bits int) kernels.Rows {
	return keep(s, func(r kernels.Rows) []kernels.Mem { return []kernels.Mem{r.Q.Mem, r.Scale.Mem, r.Sum.Mem, r.F.Mem} })(kernels.NewQueries(s.dev, n, cols, bits))
}

// floats returns random numbers, now and then an outlier, with padding of zeros. Some
// rows are so small that their scale is a float16 of few bits, or none.
func (s *bitsCase) floats(rows, cols int) kernels.Floats {
	f := kernels.Floats{Rows: rows, Cols: cols, Stride: quant.Align(cols)}
	x := make([]float32, rows*f.Stride)
	for r := range rows {
		size := []float32{1, 1, 1, 1e-6, 1e-8}[s.rand.IntN(5)]
		for i := range x[r*f.Stride:][:cols] {
			v := float32(s.rand.NormFloat64()) * size
			if s.rand.IntN(50) == 0 {
				v *= 100
			}
			x[r*f.Stride+i] = v
		}
	}
	f.Buf = put(s, x)
	return f
}

func (s *bitsCase) bytes(n int) []uint8 {
	b := make([]uint8, n)
	for i := range b {
		b[i] = uint8(s.rand.Uint32())
	}
	return b
}

func (s *bitsCase) pick(from ...int) int { return from[s.rand.IntN(len(from))] }

func rowBitsCase(s *bitsCase) {
	n, cols, bits := 1+s.rand.IntN(5), 8*(1+s.rand.IntN(150)), s.pick(4, 6, 8, 16)
	x, gateUp, weight := s.floats(n, cols), s.floats(n, 2*cols), s.floats(1, cols)
	for _, op := range []struct {
		name string
		run  func(out kernels.Rows)
	}{
		{"Quantize", func(out kernels.Rows) { s.dev.Quantize(out, x) }},
		{"RMSNorm", func(out kernels.Rows) { s.dev.RMSNorm(out, x, weight.Buf, 1e-5) }},
		{"SwiGLU", func(out kernels.Rows) { s.dev.SwiGLU(out, gateUp) }},
	} {
		out := s.rows(n, cols, bits)
		op.run(out)
		s.readRows(fmt.Sprintf("%s [%d, %d] %d bits", op.name, n, cols, bits), out)
	}
}

func linearBitsCase(s *bitsCase) {
	n, in, out := s.pick(1, 7, 16, 30, 33, 70, 140), 64*(1+s.rand.IntN(12)), 1+s.rand.IntN(150)
	typ := []kernels.WeightType{kernels.Int4, kernels.Int8}[s.rand.IntN(2)]
	x, w, y := s.linear(n, in, []kernels.WeightType{typ}, []int{out})
	name := fmt.Sprintf("%v [%d, %d], %d tokens", typ, out, in, n)
	s.dev.LinearAdd(y, x, w[0])
	read(s, "LinearAdd "+name, y.Buf)
	s.dev.Linear(y, x, w...)
	read(s, "Linear "+name, y.Buf)
}

func attentionBitsCase(s *bitsCase) {
	kvHeads, group, dim := 1+s.rand.IntN(3), s.pick(1, 2, 3, 4, 5, 40), s.pick(2, 10, 16, 48, 64, 100, 128)
	format := quant.KV{Bits: s.pick(4, 4, 8, 8, 16, 32), Scheme: []quant.KVScheme{quant.KVToken, quant.KVHead, quant.KVHeadZP}[s.rand.IntN(3)]}
	qBits := 16
	if format.Quantized() && !format.RotateOnRead() {
		qBits = s.pick(8, 16)
	}
	s.attention(kvHeads, group, dim, format, qBits)
}

// attention fills the pages of some sequences by RoPEAppendKV, and attends from the
// last tokens of each.
func (s *bitsCase) attention(kvHeads, group, dim int, format quant.KV, qBits int) {
	const maxContext, maxPages = 600, 10
	heads := kvHeads * group
	rope := s.rope(maxContext, dim)
	sequences := 1 + s.rand.IntN(3)
	kv := keep(s, func(kv kernels.KVCache) []kernels.Mem {
		return []kernels.Mem{kv.K.Mem, kv.V.Mem, kv.KScale.Mem, kv.VScale.Mem, kv.KZero.Mem, kv.VZero.Mem}
	})(kernels.NewKVCache(s.dev, format, sequences*maxPages, kvHeads, dim))
	free := s.rand.Perm(sequences * maxPages)

	var table, lens, start, positions []int32
	start = append(start, 0)
	for range sequences {
		length := s.pick(1, 63, 64, 200, 256, 257, 512, 600)
		queries := min(length, s.pick(1, 1, 2, 40))
		pages := free[:maxPages]
		free = free[maxPages:]
		fill := &kernels.Batch{T: length}
		var at, slots []int32
		for p := range length {
			at, slots = append(at, int32(p)), append(slots, int32(pages[p/kernels.PageTokens]*kernels.PageTokens+p%kernels.PageTokens))
		}
		fill.Positions, fill.Slots = put(s, at), put(s, slots)
		q := s.queries(length*heads, dim, qBits)
		s.dev.RoPEAppendKV(q, kv, s.floats(length, (heads+2*kvHeads)*dim), fill, rope)
		s.readRows("queries", q)
		for i, p := range pages {
			if i >= (length+kernels.PageTokens-1)/kernels.PageTokens {
				p = -1
			}
			table = append(table, int32(p))
		}
		lens, positions = append(lens, int32(length)), append(positions, at[length-queries:]...)
		start = append(start, int32(len(positions)))
	}
	name := fmt.Sprintf("%+v, %d/%d heads of %d, q %d bits, lengths %v, queries %v", format, heads, kvHeads, dim, qBits, lens, start)
	read(s, "K of "+name, kv.K)
	read(s, "V of "+name, kv.V)
	if format.Quantized() {
		read(s, "K's scales of "+name, kv.KScale)
		read(s, "V's scales of "+name, kv.VScale)
	}
	b := &kernels.Batch{T: len(positions), S: sequences, MaxPages: maxPages, Positions: put(s, positions),
		QueryStart: put(s, start), SeqLens: put(s, lens), PageTable: put(s, table)}
	q := s.queries(b.T*heads, dim, qBits)
	s.dev.Quantize(q, s.floats(b.T*heads, dim))
	out := s.floats(b.T, heads*dim)
	s.dev.PagedAttention(out, q, kv, b, rope)
	read(s, "attention over "+name, out.Buf)
}

func (s *bitsCase) rope(positions, dim int) kernels.RoPE {
	var cos, sin []float32
	for p := range positions {
		for i := range dim / 2 {
			a, b := fp.SinCos(float64(p) * fp.Pow(10000, -2*float64(i)/float64(dim)))
			sin, cos = append(sin, float32(a)), append(cos, float32(b))
		}
	}
	return kernels.RoPE{Cos: put(s, cos), Sin: put(s, sin), Positions: positions, HeadDim: dim}
}
