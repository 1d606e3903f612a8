package kvcache

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

func TestCount(t *testing.T) {
	for _, c := range [][2]int{{0, 0}, {1, 1}, {63, 1}, {64, 1}, {65, 2}, {128, 2}} {
		if got := Count(c[0]); got != c[1] {
			t.Errorf("Count(%d) = %d, want %d", c[0], got, c[1])
		}
	}
}

func TestGrowIsAllOrNothing(t *testing.T) {
	p := NewPages(3)
	table, err := p.Grow(nil, 65)
	if err != nil || len(table) != 2 || p.Free() != 1 {
		t.Fatalf("Grow(nil, 65) = %v, %v with %d free, want 2 pages and 1 free", table, err, p.Free())
	}
	if same, err := p.Grow(table, 128); err != nil || len(same) != 2 {
		t.Errorf("128 tokens fit in 2 pages; got %v, %v", same, err)
	}
	if same, err := p.Grow(table, 256); !errors.Is(err, ErrFull) || len(same) != 2 || p.Free() != 1 {
		t.Errorf("Grow to 4 of 3 pages = %v, %v with %d free, want ErrFull and nothing taken", same, err, p.Free())
	}
}

func TestReleaseTwicePanics(t *testing.T) {
	p := NewPages(1)
	table, _ := p.Grow(nil, 1)
	p.Release(table)
	defer func() {
		if recover() == nil {
			t.Error("the second Release did not panic")
		}
	}()
	p.Release(table)
}

// A page is never in two tables unless it was shared, and never lost.
func TestPagesAreConserved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "pages")
		p := NewPages(n)
		var tables [][]int32
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 3).Draw(t, "op"); {
			case op == 0 || len(tables) == 0:
				if table, err := p.Grow(nil, rapid.IntRange(1, 300).Draw(t, "tokens")); err == nil {
					tables = append(tables, table)
				}
			case op == 1:
				i := rapid.IntRange(0, len(tables)-1).Draw(t, "table")
				tables[i], _ = p.Grow(tables[i], rapid.IntRange(1, 600).Draw(t, "tokens"))
			case op == 2: // share a prefix
				prefix := tables[rapid.IntRange(0, len(tables)-1).Draw(t, "table")]
				prefix = prefix[:rapid.IntRange(0, len(prefix)).Draw(t, "prefix")]
				p.Retain(prefix)
				tables = append(tables, append([]int32(nil), prefix...))
			default:
				i := rapid.IntRange(0, len(tables)-1).Draw(t, "table")
				p.Release(tables[i])
				tables = append(tables[:i], tables[i+1:]...)
			}
			holders := make([]int32, n)
			for _, table := range tables {
				for _, id := range table {
					holders[id]++
				}
			}
			free := 0
			for id, h := range holders {
				if h != p.refs[id] {
					t.Fatalf("page %d has %d holders, Pages counts %d", id, h, p.refs[id])
				}
				if h == 0 {
					free++
				}
			}
			if free != p.Free() {
				t.Fatalf("%d pages without holder, Free() is %d", free, p.Free())
			}
		}
	})
}

// PageBytes is what NewPool allocates.
func TestPageBytes(t *testing.T) {
	c := &format.Config{NumHiddenLayers: 3, NumKeyValueHeads: 4, HeadDim: 8}
	for _, kv := range []quant.KV{
		{Bits: 4, Scheme: quant.KVToken}, {Bits: 4, Scheme: quant.KVHeadZP}, {Bits: 8, Scheme: quant.KVHead}, {Bits: 16}, {Bits: 32},
	} {
		var mem counting
		p, err := NewPool(&mem, c, kv, 5)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Layers) != 3 || mem.bytes != 5*PageBytes(c, kv) {
			t.Errorf("%+v: %d layers, %d bytes; PageBytes says 5·%d", kv, len(p.Layers), mem.bytes, PageBytes(c, kv))
		}
	}
}

// counting is memory that only knows how much of it was allocated.
type counting struct {
	kernels.Memory
	bytes int64
}

func (c *counting) Alloc(n int) (kernels.Mem, error) {
	c.bytes += int64(n)
	return nil, nil
}
