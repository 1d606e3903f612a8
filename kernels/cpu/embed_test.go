package cpu

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// embedding returns a table of random weights before a guard page.
func embedding(t *testing.T, typ kernels.WeightType, vocab, h int) kernels.Weight {
	data := guarded(t, vocab*typ.RowBytes(h))
	fillWeights(rand.New(rand.NewPCG(1, 2)), typ, "normal", data)
	return kernels.Weight{Type: typ, Out: vocab, In: h, Data: kernels.Buf[uint8]{Mem: host(data), N: len(data)}}
}

func idsOf(t *testing.T, d *Device, ids ...int32) kernels.Buf[int32] {
	b, err := kernels.Alloc[int32](d, len(ids))
	if err != nil {
		t.Fatal(err)
	}
	kernels.Upload(d, b, ids)
	return b
}

func TestEmbed(t *testing.T) {
	for _, name := range ISAs() {
		for _, typ := range []kernels.WeightType{kernels.Float16, kernels.BFloat16, kernels.Float32} {
			t.Run(fmt.Sprintf("%s/%v", name, typ), func(t *testing.T) {
				d, err := New(2, name)
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				const vocab, h = 7, 100
				table := embedding(t, typ, vocab, h)
				rowBytes := typ.RowBytes(h)
				data := view(table.Data)
				for r := range vocab { // a stored row's padding is zero
					clear(data[r*rowBytes+rowBytes*h/quant.Align(h) : (r+1)*rowBytes])
				}
				ids := []int32{6, 0, 3, 6, 1}
				out, err := kernels.NewFloats(d, len(ids), h)
				if err != nil {
					t.Fatal(err)
				}
				got := view(out.Buf)
				for i := range got {
					got[i] = 42
				}
				d.Embed(out, table, idsOf(t, d, ids...))
				if err := d.Sync(); err != nil {
					t.Fatal(err)
				}
				for i, id := range ids {
					want := rowOf(typ, data[int(id)*rowBytes:], out.Stride)
					for c, v := range got[i*out.Stride:][:out.Stride] {
						if v != want[c] || c >= h && v != 0 {
							t.Fatalf("token %d (id %d), element %d: %v, want %v", i, id, c, v, want[c])
						}
					}
				}
			})
		}
	}
}

func TestEmbedPanics(t *testing.T) {
	d := must(New(1, "generic"))
	defer d.Close()
	const vocab, h = 7, 64
	half := embedding(t, kernels.Float16, vocab, h)
	for want, ids := range map[string][]int32{
		"token id 7 at 1, table has 7 rows":  {6, 7},
		"token id -1 at 0, table has 7 rows": {-1},
	} {
		func() {
			defer func() {
				if v := recover(); !strings.Contains(fmt.Sprint(v), want) {
					t.Errorf("panic %v, want one with %q", v, want)
				}
			}()
			d.Embed(must(kernels.NewFloats(d, len(ids), h)), half, idsOf(t, d, ids...))
		}()
	}
}
