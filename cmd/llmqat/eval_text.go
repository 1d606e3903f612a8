package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/eval/score"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/runtime/device"
)

// textFlags choose a text and what is measured on it.
type textFlags struct {
	Text     string   `help:"Text file." xor:"text" type:"path" placeholder:"FILE"`
	Data     []string `help:"Shards that llmqat-train generate made, or directories of them: best some that were not trained on." xor:"text" type:"path" placeholder:"PATH,..."`
	Wikitext bool     `name:"wikitext" help:"--text is a wiki.test.raw: its lines are joined as GPTQ joins the data set's rows."`
	Divider  string   `help:"--text holds documents, divided by this line: each is evaluated alone." placeholder:"LINE"`
	Length   int      `help:"Tokens of a window. 0: 2048, or the model's context where that is less." default:"0" placeholder:"N"`
	Each     bool     `help:"With --json: each window's numbers, too."`
	Hash     bool     `help:"Print the SHA-256 of the model's logits, too, which takes another pass."`
}

func (c *textFlags) hasText() bool { return c.Text != "" || len(c.Data) > 0 }

func (c *textFlags) check() error {
	if c.Text == "" && (c.Wikitext || c.Divider != "") || c.Wikitext && c.Divider != "" {
		return errors.New("--wikitext and --divider say what --text holds: give one of them, with --text")
	}
	if c.Length < 0 || c.Length == 1 {
		return fmt.Errorf("--length %d: want 2 or more: a token to begin with and one to predict", c.Length)
	}
	return nil
}

// textReport is what was measured on a text.
type textReport struct {
	Source string     `json:"source"`
	Text   *eval.Text `json:"text"`
	*eval.Result
	LogitsSHA256 string `json:"logits_sha256,omitempty"`
}

// evalText measures perplexity and, with a teacher, how near the model is to it.
func (c *textFlags) evalText(ctx context.Context, dev *device.Opened, student, teacher *evalModel, log io.Writer) (r *textReport, err error) {
	h := student.Header()
	most := h.Config.MaxPositionEmbeddings
	if teacher != nil {
		most = min(most, teacher.Header().Config.MaxPositionEmbeddings)
	}
	if r, err = c.text(student.Path(), h.Tokenizer, h.Config.VocabSize, most); err != nil {
		return nil, err
	}
	tell, end := progress.Line(log, 10*time.Second)
	defer end()
	options := func(what string) eval.Options {
		return eval.Options{Threads: dev.Threads, Progress: tokensTold(tell, what)}
	}
	if teacher == nil {
		r.Result, err = eval.Perplexity(ctx, dev.Device, student.File, r.Text.Windows, options("perplexity"))
	} else {
		r.Result, err = eval.Compare(ctx, dev.Device, student.File, teacher.File, r.Text.Windows, options("comparison"))
	}
	if err == nil && c.Hash {
		r.LogitsSHA256, err = eval.Hash(ctx, dev.Device, student.File, r.Text.Windows, options("hash"))
	}
	return c.whole(r, err)
}

// scoreText measures the perplexity of a model that is only asked, by a server.
func (c *textFlags) scoreText(ctx context.Context, s *score.Server, tok *tokenizer.Tokenizer, log io.Writer) (*textReport, error) {
	r, err := c.text(s.URL(), tok, tok.VocabSize(), s.MaxTokens())
	if err != nil {
		return nil, err
	}
	tell, end := progress.Line(log, 10*time.Second)
	defer end()
	r.Result, err = eval.Scored(ctx, s, r.Text.Windows, tokensTold(tell, "perplexity"))
	return c.whole(r, err)
}

// whole is the report without what was not asked for.
func (c *textFlags) whole(r *textReport, err error) (*textReport, error) {
	if err != nil {
		return nil, err
	}
	if !c.Each {
		r.Result.Each = nil
	}
	return r, nil
}

// tokensTold tells how far something has come.
func tokensTold(tell func(text string), what string) func(done, total int64) {
	start := time.Now()
	return progress.Every(2*time.Second, func(done, total int64, left time.Duration) {
		tell(fmt.Sprintf("%s: %d of %d tokens, %.0f tokens/s, %v left", what, done, total, float64(done)/time.Since(start).Seconds(), left.Round(time.Second)))
	})
}

// text reads what the flags name, in windows for a model that takes so many tokens at most.
func (c *textFlags) text(model string, tok *tokenizer.Tokenizer, vocab, most int) (_ *textReport, err error) {
	length := min(eval.MaxLength, most)
	if c.Length != 0 {
		length = c.Length
	}
	if c.Text == "" {
		r := &textReport{Source: strings.Join(c.Data, ", ")}
		r.Text, err = eval.Shards(c.Data, vocab, length)
		return r, err
	}
	if tok == nil {
		return nil, noTokenizer(model, c.Text)
	}
	raw, err := eval.ReadFile(c.Text)
	if err != nil {
		return nil, err
	}
	r := &textReport{Source: c.Text}
	switch {
	case c.Wikitext:
		r.Text, err = eval.Cut(tok, eval.WikiText(raw), length)
	case c.Divider != "":
		var list []string
		if list, err = eval.Divided(raw, c.Divider); err == nil {
			r.Text, err = eval.Documents(tok, list, length)
		}
	default:
		r.Text, err = eval.Cut(tok, raw, length)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", c.Text, err)
	}
	return r, err
}

// print is the report for people.
func (r *textReport) print(w io.Writer, teacher string) error {
	fmt.Fprintf(w, "%s: %d windows %s; %d tokens predicted, %d left out\n\n", r.Source, r.Windows, r.Text.Is, r.Tokens, r.Text.Dropped)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	show := func(e eval.Estimate, format string, scale float64) string {
		s := fmt.Sprintf(format, e.Value*scale)
		if e.SE > 0 {
			s += fmt.Sprintf(" ± %.2g", e.SE*scale)
		}
		return s
	}
	fmt.Fprintf(t, "perplexity\t%s\n", show(r.Perplexity, "%.4f", 1))
	if c := r.Comparison; c != nil {
		fmt.Fprintf(t, "teacher's perplexity\t%s\t%s\n", show(c.TeacherPerplexity, "%.4f", 1), teacher)
		fmt.Fprintf(t, "ln of their ratio\t%s\n", show(c.DeltaNLL, "%.5f", 1))
		fmt.Fprintf(t, "KL to the teacher\t%s\t99 %%: %.4f, largest: %.4f nats\n", show(c.KL, "%.5f", 1), c.KL99, c.KLMax)
		fmt.Fprintf(t, "same first\t%s %%\n", show(c.Top1, "%.2f", 100))
		fmt.Fprintf(t, "RMS of Δp\t%s %%\n", show(c.RMSDeltaP, "%.2f", 100))
	}
	if r.LogitsSHA256 != "" {
		fmt.Fprintf(t, "SHA-256 of logits\t%s\n", r.LogitsSHA256)
	}
	return t.Flush()
}
