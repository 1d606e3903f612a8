//go:build cuda

package cuda

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/engine"
)

// frozen is the driver of a GPU of 10 SMs, which allocates no more once it is set. Short
// passes of deep split their work over all SMs, those of 65 to 80 tokens have enough.
type frozen struct {
	driver
	set atomic.Bool
}

var errFrozen = errors.New("allocated after the start")

func (f *frozen) Multiprocessors() int { return 10 }

func (f *frozen) Alloc(n int) (address, error) {
	if f.set.Load() {
		return 0, errFrozen
	}
	return f.driver.Alloc(n)
}

func (f *frozen) AllocHost(n int) ([]byte, error) {
	if f.set.Load() {
		return nil, errFrozen
	}
	return f.driver.AllocHost(n)
}

// deep is a model of one layer whose inputs are so long that integer products are split.
func deep(t *testing.T, bits quant.Bits) *qat.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "deep.qat")
	err := convert.Synth(context.Background(), format.Config{
		HiddenSize: 2048, IntermediateSize: 192, NumHiddenLayers: 1, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 16,
		VocabSize: 300, MaxPositionEmbeddings: 330, RMSNormEps: 1e-5, RopeTheta: 10000, BOSTokenID: 1,
	}, path, convert.Options{Bits: bits, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	f, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

var deepOptions = engine.Options{MaxSeqs: 3, Budget: 80}

// deepScratch is what halves of gate_up_proj's four tiles leave at 4-8-4, the most that
// deep wants, with 33 to 64 tokens.
const deepScratch = 4 * 2 * 64 * 128 * 4

// fill runs requests that meet every kind of step: long and short prompts, in chunks and
// beside others' decoding, up to the whole context; the fifth has 46 tokens.
func fill(t *testing.T, e *engine.Engine) {
	t.Helper()
	var all []<-chan engine.Event
	for i, n := range []int{325, 1, 40, 63, 64} {
		ids := make([]int32, n)
		for j := range ids {
			ids[j] = int32((i + j) % 300)
		}
		events, err := e.Generate(context.Background(), engine.Request{IDs: ids, MaxTokens: 5, Logprobs: i%2 - 1, IgnoreEOS: true})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, events)
	}
	for i, events := range all {
		for ev := range events {
			if ev.Err != nil {
				t.Errorf("request %d: %v", i, ev.Err)
			}
		}
	}
}

// TestNothingIsAllocatedLater: an engine takes at its start all that it ever will.
func TestNothingIsAllocatedLater(t *testing.T) {
	for _, bits := range []quant.Bits{{W: 4, A: 8, KV: 4}, {W: 16, A: 16, KV: 16}} {
		t.Run(fmt.Sprint(bits), func(t *testing.T) {
			d := newTestDevice(t)
			defer d.Close()
			driver := &frozen{driver: d.driver}
			d.driver = driver
			f, copied := deep(t, bits), int64(0)
			o := deepOptions
			o.Device = d
			o.Progress = func(done, total int64) {
				if copied = done; total != int64(len(f.Bytes())) {
					t.Errorf("%d of %d bytes are copied, the file has %d", done, total, len(f.Bytes()))
				}
			}
			e, err := engine.New(f, o)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if copied != int64(len(f.Bytes())) {
				t.Errorf("%d bytes were copied, the file has %d", copied, len(f.Bytes()))
			}
			if got := d.scratchMem.bytes; bits.A == 8 && got != deepScratch || got == 0 {
				t.Errorf("%d bytes of scratch, want the %d of a short pass: else this tests little", got, deepScratch)
			}
			driver.set.Store(true)
			fill(t, e)
		})
	}
}

// TestSmallestMemory: an engine needs what its plan says to the byte, and with that it
// runs; with a byte less it does not start, and leaves nothing behind.
func TestSmallestMemory(t *testing.T) {
	d, inject := fake(t)
	d.driver = &frozen{driver: d.driver}
	f := deep(t, quant.Bits{W: 4, A: 8, KV: 4})
	free, total, err := d.Available()
	if err != nil {
		t.Fatal(err)
	}
	start := func(memory int64) (*engine.Engine, error) {
		inject(fmt.Sprintf("memory=%d", memory))
		o := deepOptions
		o.Device, o.MemoryBytes = d, 1<<30 // the plan finds no fault: the driver does
		o.KVBytes = 1e6
		return engine.New(f, o)
	}
	e, err := start(total)
	if err != nil {
		t.Fatal(err)
	}
	info := e.Info()
	e.Close()
	if now, _, _ := d.Available(); now > free {
		t.Errorf("%d bytes are free, more than the %d of a fresh device", now, free)
	}
	least := total - free + info.WeightBytes + info.KVBytes + info.ScratchBytes
	d.Free(&d.scratchMem)
	d.scratchMem = memory{}
	if _, err := start(least - 1); err == nil {
		t.Fatalf("started with %d bytes, less than the plan's sum", least-1)
	} else {
		want(t, err, f.Path(), "out of memory")
	}
	d.Free(&d.scratchMem)
	d.scratchMem = memory{}
	if now, _, err := d.Available(); err != nil || now != least-1-(total-free) {
		t.Errorf("after the failure %d bytes are free, %v; before %d were", now, err, least-1-(total-free))
	}
	if e, err = start(least); err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	fill(t, e)
}
