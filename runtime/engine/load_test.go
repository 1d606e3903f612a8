package engine

import (
	"errors"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
)

// counted is a device that counts the memory it has given away, and gives so much more.
type counted struct {
	*cpu.Device
	given, more int
}

var errFull = errors.New("full")

func (c *counted) count(m kernels.Mem, err error) (kernels.Mem, error) {
	if err == nil {
		c.given, c.more = c.given+1, c.more-1
	}
	return m, err
}

func (c *counted) Alloc(n int) (kernels.Mem, error) {
	if c.more == 0 {
		return nil, errFull
	}
	return c.count(c.Device.Alloc(n))
}

func (c *counted) Import(b []byte, copied func(int64)) (kernels.Mem, error) {
	return c.count(c.Device.Import(b, copied))
}

func (c *counted) Free(m kernels.Mem) { c.given--; c.Device.Free(m) }

// Wherever the start of an engine fails, and after its end, the device has its memory back.
func TestMemoryIsGivenBack(t *testing.T) {
	f := random(t, options(t, "4-8-4", quant.KVHeadZP, ""))
	d, err := cpu.New(1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	back := func(when string, c *counted) {
		t.Helper()
		if c.given != 0 {
			t.Errorf("%s: %d pieces of memory are not given back", when, c.given)
		}
	}
	more := 1
	for ; ; more++ {
		c := &counted{Device: d, more: more}
		e, err := New(f, Options{Device: c, MaxSeqs: 2})
		if err == nil {
			e.Close()
			back("after Close", c)
			break
		}
		if back("on a full device", c); !errors.Is(err, errFull) {
			t.Fatalf("with %d pieces of memory: %v", more, err)
		}
	}
	t.Setenv("LLMQAT_ISA", "abacus")
	c := &counted{Device: d, more: more}
	if _, err := New(f, Options{Device: c, MaxSeqs: 2}); err == nil {
		t.Error("started, to draw tokens on an abacus")
	}
	back("without what draws tokens", c)
}
