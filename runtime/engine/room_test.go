package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
)

// card is a device that has memory of its own, of which only the plan knows.
type card struct {
	*cpu.Device
	free, total, scratch int64
	broken               error
}

func (c *card) Available() (free, total int64, err error) { return c.free, c.total, c.broken }
func (c *card) Measure(func()) int64                      { return c.scratch }
func (c *card) Reserve(int64) error                       { return nil }

var _ kernels.OwnMemory = (*card)(nil)

func newCard(t *testing.T) *card {
	t.Helper()
	d, err := cpu.New(1, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return &card{Device: d, scratch: 3_000_000, total: 20 << 30}
}

// On a device with memory of its own the cache takes what is left, but no more than
// the sequences can use, and something is kept to spare.
func TestRoomOnACard(t *testing.T) {
	f := random(t, options(t, "4-8-4", quant.KVHeadZP, ""))
	c := newCard(t)
	c.free = 10 << 30
	info, _, err := plan(f, Options{Device: c, MaxSeqs: 3, MaxContext: 200})
	if err != nil || info.KVPages != 3*4 {
		t.Fatalf("plenty of memory: %d pages, %v; want the 12 that 3 sequences of 200 tokens use", info.KVPages, err)
	}
	fixed := info.WeightBytes + info.ScratchBytes
	page := info.KVBytes / 12
	without, _, _ := plan(f, Options{Device: c.Device, MaxSeqs: 3, MaxContext: 200})
	if info.ScratchBytes != without.ScratchBytes+c.scratch {
		t.Errorf("scratch is %d, want %d and the device's own %d", info.ScratchBytes, without.ScratchBytes, c.scratch)
	}

	c.free = 512<<20 + fixed + 5*page + page/2
	if info, _, err = plan(f, Options{Device: c, MaxSeqs: 3, MaxContext: 200}); err != nil || info.KVPages != 5 {
		t.Errorf("room for five pages: %d, %v", info.KVPages, err)
	}
	if info, _, err = plan(f, Options{Device: c, MaxSeqs: 3, MaxContext: 200, KVBytes: 4 * page}); err != nil || info.KVPages != 4 {
		t.Errorf("four pages asked for: %d, %v", info.KVPages, err)
	}
	if info, _, err = plan(f, Options{Device: c, MaxSeqs: 3, MaxContext: 200, MemoryBytes: fixed + 7*page}); err != nil || info.KVPages != 7 {
		t.Errorf("memory for seven pages allowed: %d, %v", info.KVPages, err)
	}

	c.free, c.total = fixed+4*page, 200_000_000 // the twentieth to spare is missing
	_, _, err = plan(f, Options{Device: c, MaxSeqs: 3, MaxContext: 200})
	for _, says := range []string{"200 MB", "less 10 MB to spare", "(256 tokens)", "shorten the context"} {
		if !errors.Is(err, ErrMemory) || !strings.Contains(err.Error(), says) {
			t.Errorf("no room for one sequence: %v, want ErrMemory that says %q", err, says)
		}
	}
	c.broken = errors.New("cable pulled")
	if _, _, err = plan(f, Options{Device: c}); !errors.Is(err, c.broken) {
		t.Errorf("a device that does not say what is free: %v", err)
	}
}
