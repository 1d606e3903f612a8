package score

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/engine"
)

// work is questions of four choices, whose tokens are random.
type work struct {
	head, context, choice int // tokens: of what all begin with, of a question, of a choice
	questions             int
}

// requests draws them; with alike false no two begin alike, so that nothing can be shared.
func (w work) requests(vocab int, alike bool) (list []Request) {
	r := rand.New(rand.NewPCG(1, 2))
	draw := func(n int) (ids []int32) {
		for range n {
			ids = append(ids, int32(3+r.IntN(vocab-3)))
		}
		return ids
	}
	head := draw(w.head)
	for range w.questions {
		question := draw(w.context)
		for range 4 {
			if !alike {
				head, question = draw(w.head), draw(w.context)
			}
			list = append(list, ask(append(head[:w.head:w.head], question...), draw(w.choice)))
		}
	}
	return list
}

// BenchmarkEngine says how many requests are scored in a second, and how many of their tokens
// are computed, where LLMQAT_TESTDATA has models.
func BenchmarkEngine(b *testing.B) {
	works := []struct {
		name string
		work
	}{{"hellaswag", work{1, 100, 50, 100}}, {"fewshot", work{350, 50, 25, 100}}, {"mmlu", work{400, 60, 1, 100}}}
	for _, name := range []string{"stories260K", "stories3M"} {
		f := story(b, name)
		for _, w := range works {
			for _, seqs := range []int{8, 32, 64, 128} {
				for _, budget := range []int{512, 2048} {
					for _, alike := range []bool{true, false} {
						if !alike && (seqs != 32 || budget != 512) {
							continue
						}
						b.Run(fmt.Sprintf("model=%s/work=%s/share=%v/seqs=%d/budget=%d", name, w.name, alike, seqs, budget), func(b *testing.B) {
							benchmark(b, f, w.requests(f.Header().Config.VocabSize, alike), engine.Options{MaxSeqs: seqs, Budget: budget})
						})
					}
				}
			}
		}
	}
}

func benchmark(b *testing.B, f *qat.File, requests []Request, o engine.Options) {
	dev, err := cpu.New(0, "")
	if err != nil {
		b.Fatal(err)
	}
	defer dev.Close()
	o.Device = dev
	asked, computed := 0, int64(0)
	for _, r := range requests {
		asked += len(r.Context) + len(r.Continuation)
	}
	for b.Loop() {
		b.StopTimer()
		s, err := NewEngine(f, o)
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := s.Score(context.Background(), requests, func(int, Score) error { return nil }); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		s.Close()
		computed = s.engine.Stats().PromptTokens
		b.StartTimer()
	}
	b.ReportMetric(float64(len(requests)*b.N)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(computed)/float64(asked), "computed/asked")
}

func story(b *testing.B, name string) *qat.File {
	dir := os.Getenv("LLMQAT_TESTDATA")
	if dir == "" {
		b.Skip("LLMQAT_TESTDATA is not set: no trained models")
	}
	src, err := source.Open(filepath.Join(dir, "hf", name), "")
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	path := filepath.Join(b.TempDir(), name+".qat")
	if err := convert.Quantize(context.Background(), src, path, convert.Options{Bits: quant.Bits{W: 4, A: 8, KV: 4}, KVScheme: quant.KVHeadZP}); err != nil {
		b.Fatal(err)
	}
	f, err := qat.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return f
}
