package kvcache

import (
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func text(seed int32, n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = seed + int32(i)
	}
	return ids
}

func TestPublishedPagesAreFound(t *testing.T) {
	p := NewPages(4)
	root := Root("")
	ids := text(0, 100)
	table, _ := p.Grow(nil, 100)
	p.Publish(table[0], root, ids[:64])
	first := root.Next(ids[:64])
	p.Publish(table[1], first, ids[64:])
	if id, ok := p.Find(first); !ok || id != table[0] {
		t.Errorf("Find gives %d, %v; want %d", id, ok, table[0])
	}
	if id, n := p.Longest(first, append(ids[64:90:90], -1)); id != table[1] || n != 26 {
		t.Errorf("Longest gives %d tokens of page %d, want 26 of %d", n, id, table[1])
	}
	if _, n := p.Longest(Root("salt"), ids[:64]); n != 0 {
		t.Error("another salt shares a page")
	}
	if _, ok := p.Find(Root("salt").Next(ids[:64])); ok {
		t.Error("another salt finds a page")
	}

	p.Release(table)
	if p.Free() != 4 || p.Kept() != 2 {
		t.Errorf("%d pages free, %d kept; want 4 and 2", p.Free(), p.Kept())
	}
	if _, ok := p.Find(first); !ok {
		t.Error("a released page is forgotten")
	}
	// Two empty pages are taken first, then the table's end, which goes before its beginning.
	other, _ := p.Grow(nil, 3*64)
	if _, n := p.Longest(first, ids[64:]); n != 0 || other[2] != table[1] {
		t.Errorf("the third page of %v is not the published end %d", other, table[1])
	}
	if id, ok := p.Find(first); !ok || id != table[0] {
		t.Error("the beginning went before the end")
	}
	p.Retain(table[:1])
	if p.Free() != 0 {
		t.Errorf("%d pages are free, want 0: the found one is held again", p.Free())
	}
}

// Of two whole pages with the same tokens the first stays the known one, and the other is
// free as any when it is released.
func TestTheSamePageTwice(t *testing.T) {
	p := NewPages(2)
	a, _ := p.Grow(nil, 64)
	b, _ := p.Grow(nil, 64)
	ids := text(7, 64)
	p.Publish(a[0], Root(""), ids[:30])
	p.Publish(b[0], Root(""), ids[:20])
	p.Publish(a[0], Root(""), ids)
	p.Publish(b[0], Root(""), ids)
	if id, ok := p.Find(Root("").Next(ids)); !ok || id != a[0] {
		t.Errorf("Find gives %d, %v; want %d", id, ok, a[0])
	}
	p.Release(b)
	if p.Kept() != 0 || p.Free() != 1 {
		t.Errorf("%d pages kept, %d free; want 0 and 1", p.Kept(), p.Free())
	}
	p.Release(a)
	if p.Kept() != 1 {
		t.Errorf("%d pages kept, want 1", p.Kept())
	}
}

func TestOnlyPublishedPagesAreRetained(t *testing.T) {
	p := NewPages(1)
	defer func() {
		if recover() == nil {
			t.Error("a free page that holds nothing was retained")
		}
	}()
	p.Retain([]int32{0})
}

func TestOnlyHeldPagesArePublished(t *testing.T) {
	p := NewPages(1)
	defer func() {
		if recover() == nil {
			t.Error("a page that nobody holds was published")
		}
	}()
	p.Publish(0, Root(""), text(0, 1))
}

// Keys differ where any token or salt does: they are all that stands between two clients.
func TestKeys(t *testing.T) {
	seen := map[Key]bool{Root(""): true, Root("a"): true}
	for _, root := range []Key{Root(""), Root("a")} {
		for i := range 65 {
			ids := text(0, 64)
			if i < 64 {
				ids[i]++
			}
			k := root.Next(ids)
			if seen[k] {
				t.Fatalf("token %d makes no difference", i)
			}
			seen[k] = true
		}
	}
}

// A salt may be any text, but it is never the prefix of another salt's tokens.
func TestSaltIsNoPrefix(t *testing.T) {
	ids := text(0, PageTokens)
	key := Root("")
	salt := key[:]
	for _, id := range ids {
		salt = binary.LittleEndian.AppendUint32(salt, uint32(id))
	}
	if Root(string(salt)) == key.Next(ids) {
		t.Error("a salt made of a key and tokens reads what follows them")
	}
}

// Whatever is published, shared and taken: Find and Longest tell of pages that hold just
// those tokens, and none is lost.
func TestIndexIsTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "pages")
		p := NewPages(n)
		type held struct{ table, ids []int32 }
		var tables []held
		holds := make([][]int32, n) // the whole prefix that a page ends, as was published
		texts := [][]int32{text(0, 512), text(0, 512), text(0, 512)}
		copy(texts[1][70:], text(1000, 442))
		copy(texts[2][10:], text(2000, 502))
		key := func(ids []int32, pages int) Key {
			k := Root("")
			for i := range pages {
				k = k.Next(ids[i*PageTokens : (i+1)*PageTokens])
			}
			return k
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			if len(tables) > 0 && rapid.Bool().Draw(t, "release") {
				i := rapid.IntRange(0, len(tables)-1).Draw(t, "table")
				p.Release(tables[i].table)
				tables = slices.Delete(tables, i, i+1)
			}
			ids := texts[rapid.IntRange(0, 2).Draw(t, "text")]
			ids = ids[:rapid.IntRange(1, n*PageTokens).Draw(t, "tokens")]
			var table []int32
			for len(table) < len(ids)/PageTokens {
				id, ok := p.Find(key(ids, len(table)+1))
				if !ok {
					break
				}
				table = append(table, id)
				if want := ids[:len(table)*PageTokens]; !slices.Equal(holds[id], want) {
					t.Fatalf("page %d of %d tokens was found for %d others", id, len(holds[id]), len(want))
				}
			}
			from := len(table) * PageTokens
			rest := ids[from:min(len(ids), from+PageTokens)]
			if id, m := p.Longest(key(ids, len(table)), rest); m > 0 && (len(holds[id]) < from+m || !slices.Equal(holds[id][:from+m], ids[:from+m])) {
				t.Fatalf("page %d of %d tokens was found for %d others", id, len(holds[id]), from+m)
			}
			p.Retain(table)
			shared := len(table)
			table, err := p.Grow(table, len(ids))
			if err != nil {
				p.Release(table)
				continue
			}
			for i := shared; i < len(table); i++ {
				to := min(len(ids), (i+1)*PageTokens)
				p.Publish(table[i], key(ids, i), ids[i*PageTokens:to])
				holds[table[i]] = ids[:to]
			}
			tables = append(tables, held{table, ids})
		}
		for _, h := range tables {
			p.Release(h.table)
		}
		if p.Free() != n || p.Kept() > n {
			t.Fatalf("%d of %d pages are free at the end, %d kept", p.Free(), n, p.Kept())
		}
		if _, err := p.Grow(nil, n*PageTokens); err != nil || len(p.index.whole)+len(p.index.followers) > 0 {
			t.Fatalf("all pages are taken anew (%v), and %d whole ones, %d prefixes are still known", err, len(p.index.whole), len(p.index.followers))
		}
	})
}
