package model

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/kerneltest"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/kvcache"
)

// counted counts the waits for a drawing device.
type counted struct {
	kerneltest.Drawing
	syncs int
}

func (c *counted) Sync() error {
	c.syncs++
	return c.Drawing.Sync()
}

// Of the rows of several pieces the device draws those it is asked to, by the logits
// that it would yield; the others' come to the host. Where none do, nothing waits but
// the end.
func TestDeviceDraws(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.qat")
	if err := convert.Quantize(context.Background(), noise{small()}, path, convert.Options{Bits: quant.Bits{W: 4, A: 8, KV: 4}}); err != nil {
		t.Fatal(err)
	}
	f, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	host, err := cpu.New(2, "")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	dev := &counted{Drawing: kerneltest.Drawing{Device: host}}
	m, err := Load(dev, f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	pool, err := kvcache.NewPool(dev, &f.Header().Config, f.Header().Quantization.KV(), 2)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(4, 4))
	ids := make([]int32, 2*logitRows+9)
	for i := range ids {
		ids[i] = int32(r.IntN(150))
	}
	run := []Run{{ids, 0, []int32{1, 0}}}
	rows := []int32{}
	for i := range ids {
		rows = append(rows, int32(len(ids)-1-i))
	}
	want := map[int][]float32{}
	keep := func(to map[int][]float32) func(int, []float32) {
		return func(i int, logits []float32) { to[i] = slices.Clone(logits) }
	}
	m.Forward(run, rows, nil, pool.Layers)
	if err := m.Logits(keep(want)); err != nil || m.Drawn() != nil {
		t.Fatalf("no draws: %v, drawn are %v", err, m.Drawn())
	}
	for _, onHost := range []func(i int) bool{
		func(i int) bool { return false }, func(i int) bool { return i == logitRows+5 }, func(i int) bool { return i%3 > 0 }, func(i int) bool { return true },
	} {
		draws := make([]kernels.Draw, len(rows))
		for i := range draws {
			if !onHost(i) {
				draws[i] = kernels.Draw{Random: r.Uint64(), Below: 3, Leave: 0.01, Scale: 1.5, TopK: int32(r.IntN(9))}
			}
		}
		m.Forward(run, rows, draws, pool.Layers)
		got, before := map[int][]float32{}, dev.syncs
		if err := m.Logits(keep(got)); err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			switch {
			case onHost(i) && !slices.Equal(got[i], want[i]):
				t.Errorf("row %d: logits %v, want %v", i, got[i], want[i])
			case !onHost(i) && (got[i] != nil || m.Drawn()[i] != kerneltest.Draw(want[i], draws[i])):
				t.Errorf("row %d: token %d drawn of %v, want %d", i, m.Drawn()[i], got[i], kerneltest.Draw(want[i], draws[i]))
			}
		}
		if n := dev.syncs - before; len(got) == 0 && n != 1 {
			t.Errorf("%d waits with all rows drawn, want 1", n)
		}
		if len(got) == len(rows) && m.Drawn() != nil {
			t.Error("tokens were drawn of which none was wanted")
		}
	}
}
