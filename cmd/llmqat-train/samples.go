package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/internal/replace"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/sample"
)

// Of samples.md: how many prompts, which are beginnings of held-out windows, and the
// tokens of prompt and answer.
const (
	samplePrompts = 3
	samplePrompt  = 8
	sampleTokens  = 96
)

// samples writes how teacher and student.qat go on from the same beginnings.
func (c *qatCmd) samples(ctx context.Context, dev kernels.Device, teacher, student *qat.File, windows [][]int32) error {
	h := teacher.Header()
	most := max(1, min(samplePrompt, h.Config.MaxPositionEmbeddings/2))
	var prompts [][]int32
	for _, w := range windows[:min(samplePrompts, len(windows))] {
		prompts = append(prompts, w[:min(most, len(w))])
	}
	n := min(sampleTokens, h.Config.MaxPositionEmbeddings-most)
	drawn := sample.Params{Temperature: 1, TopK: 50, Seed: c.Seed}
	var all [4][][]int32
	for i, x := range []struct {
		f *qat.File
		p sample.Params
	}{{teacher, sample.Params{}}, {student, sample.Params{}}, {teacher, drawn}, {student, drawn}} {
		var err error
		if all[i], err = eval.Continue(ctx, dev, x.f, prompts, n, x.p); err != nil {
			return err
		}
	}
	return replace.File(filepath.Join(c.Out, "samples.md"), func(w io.Writer) error {
		b := &strings.Builder{}
		for i, ids := range prompts {
			fmt.Fprintf(b, "## %s\n", text(h.Tokenizer, ids))
			for k, name := range []string{"teacher, the likeliest", "student.qat, the likeliest", "teacher, drawn", "student.qat, drawn"} {
				fmt.Fprintf(b, "\n%s:\n\n%s\n", name, quoted(text(h.Tokenizer, all[k][i])))
			}
			b.WriteByte('\n')
		}
		fmt.Fprintf(b, "Up to %d tokens; drawn: temperature %v, top-k %d, seed %d, both with the same random numbers.\n", n, drawn.Temperature, drawn.TopK, drawn.Seed)
		_, err := io.WriteString(w, b.String())
		return err
	})
}

// text is ids as text, or as numbers where no tokenizer is there.
func text(tok *tokenizer.Tokenizer, ids []int32) string {
	if tok == nil {
		return fmt.Sprint(ids)
	}
	return strings.TrimSpace(tok.Decode(ids))
}

// quoted is a block of Markdown that is text as it stands.
func quoted(text string) string { return "    " + strings.ReplaceAll(text, "\n", "\n    ") }
