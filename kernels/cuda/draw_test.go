//go:build cuda

package cuda

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/kerneltest"
	"github.com/llmqat/llmqat/runtime/sample"
)

// TestDrawIsTheSamplers: of vocabularies of real size each token is the one that a
// sampler draws on the host, rows of all parameters together.
func TestDrawIsTheSamplers(t *testing.T) {
	params := []sample.Params{
		{}, {Temperature: 1}, {Temperature: 100}, {Temperature: 1e-300}, {Temperature: 0.8, MinP: 0.05},
		{Temperature: 1, TopK: 1}, {Temperature: 1, TopK: 2}, {Temperature: 0.7, TopK: 40}, {Temperature: 1, TopK: 2000}, {Temperature: 1, TopK: 300_000},
		{Temperature: 1, TopP: 1e-20}, {Temperature: 1, TopP: 0.5}, {Temperature: 1, TopP: 0.95}, {Temperature: 100, TopP: 0.95}, {Temperature: 2, TopP: 0.9999999999999999},
		{Temperature: 0.8, TopK: 40, TopP: 0.95, MinP: 0.01}, {Temperature: 30, TopK: 3000, TopP: 0.9},
	}
	for _, c := range []struct {
		vocab int
		seed  string
	}{{32_000, schedules[0]}, {4096, schedules[1]}, {5000, schedules[2]}, {4097, schedules[3]}, {128_256, schedules[0]}, {1 << 18, schedules[1]}} {
		t.Setenv("LLMQAT_EMU_SEED", c.seed)
		d := newTestDevice(t)
		r := rand.New(rand.NewPCG(uint64(c.vocab), 1))
		rows := kerneltest.Logits(r, c.vocab)
		flat, sure := make([]float32, c.vocab), make([]float32, c.vocab) // as of random weights, and of a trained model
		for i := range flat {
			flat[i], sure[i] = float32(2*r.NormFloat64()), float32(2.5*r.NormFloat64()+2*r.ExpFloat64())
		}
		rows["flat"], rows["sure"] = flat, sure
		if c.vocab > 32_000 {
			rows = map[string][]float32{"flat": flat, "sure": sure, "few values": rows["few values"]}
		}
		work, err := sample.NewWork(c.vocab)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range slices.Sorted(maps.Keys(rows)) {
			row := rows[name]
			logits, err := kernels.NewFloats(d, len(params), c.vocab)
			if err != nil {
				t.Fatal(err)
			}
			var words []int32
			samplers := make([]*sample.Sampler, len(params))
			for i, p := range params {
				p.Seed = r.Uint64()
				samplers[i] = sample.New(p, c.vocab, nil)
				draw, _ := samplers[i].Draw()
				words = draw.Append(words)
				kernels.Upload(d, logits.Part(i, i+1).Buf, row)
			}
			ids, draws := upload(t, d, make([]int32, len(params))), upload(t, d, words)
			d.Draw(ids, logits, draws)
			got := make([]int32, len(params))
			kernels.Download(d, got, ids)
			if err := d.Sync(); err != nil {
				t.Fatal(err)
			}
			for i, p := range params {
				want, err := samplers[i].Token(work, row)
				if errors.Is(err, sample.ErrNoToken) {
					want = kernels.NoToken
				}
				if got[i] != want {
					t.Errorf("%s of %d, %+v: token %d, the sampler's is %d", name, c.vocab, p, got[i], want)
				}
			}
			for _, m := range []kernels.Mem{logits.Mem, ids.Mem, draws.Mem} {
				d.Free(m)
			}
		}
		d.Close()
	}
}
