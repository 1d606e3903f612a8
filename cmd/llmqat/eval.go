package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/device"
)

type evalCmd struct {
	Model   string `help:"The .qat file. A float model (Hugging Face directory, GGUF or llama2.c file) is taken, too." required:"" type:"path" placeholder:"FILE"`
	Teacher string `help:"What it was made of, to compare with: a float model, or a .qat file." type:"path" placeholder:"PATH"`

	Text     string   `help:"Text file." xor:"text" required:"" type:"path" placeholder:"FILE"`
	Data     []string `help:"Shards that llmqat-train generate made, or directories of them: best some that were not trained on." xor:"text" required:"" type:"path" placeholder:"PATH,..."`
	Wikitext bool     `name:"wikitext" help:"--text is a wiki.test.raw: its lines are joined as GPTQ joins the data set's rows."`
	Divider  string   `help:"--text holds documents, divided by this line: each is evaluated alone." placeholder:"LINE"`
	Length   int      `help:"Tokens of a window. 0: 2048, or the model's context where that is less." default:"0" placeholder:"N"`

	JSON    bool   `name:"json" help:"Print JSON."`
	Each    bool   `help:"With --json: each window's numbers, too."`
	Hash    bool   `help:"Print the SHA-256 of the model's logits, too, which takes another pass."`
	Device  string `help:"What computes: cpu, cuda (the first GPU), cuda:N, or auto: the first GPU where one runs, else the CPU." default:"auto"`
	Threads int    `help:"Threads; 0: one a core. No result depends on it." default:"0" placeholder:"N"`
}

func (evalCmd) Help() string {
	return `Perplexity: the text as a whole is tokenized, with BOS at its start, and cut into windows, each
evaluated alone; what fills no window is left out. 1 would be to know each next token; a random
guess has the size of the vocabulary. Perplexities of other texts, tokenizers or --length do not compare.

With --teacher also how near the model comes to it, token by token, which tells more:
  KL             nats between their distributions of the next token; 0: the same. Mean, what 99 % of
                 the tokens stay below, and the largest
  same first     part of the tokens for which both find the same token likeliest
  RMS of Δp      how far the probability of the text's own next token moves
± is the standard error, by windows.

  llmqat eval --model m.qat --text book.txt
  llmqat eval --model m.qat --teacher TinyLlama-1.1B/ --text wiki.test.raw --wikitext
  llmqat eval --model run/student.qat --teacher TinyLlama-1.1B/ --data held/ --json > result.json
  llmqat eval --model m.qat --text stories.txt --divider "<|endoftext|>"

A float model becomes a .qat file of 16-16-16 in float32 for the time, in $TMPDIR: 4 bytes a parameter.`
}

func (c *evalCmd) Run(ctx context.Context) error { return c.run(ctx, os.Stdout, os.Stderr) }

// maxLength is GPTQ's, which others report too.
const maxLength = 2048

// evalReport is what --json prints.
type evalReport struct {
	Model    string     `json:"model"`
	Bits     string     `json:"bits"`
	KVScheme string     `json:"kv_scheme"`
	KVBytes  int        `json:"kv_bytes_per_token"`
	Teacher  string     `json:"teacher,omitempty"`
	Device   string     `json:"device"`
	Source   string     `json:"source"` // of the text
	Text     *eval.Text `json:"text"`
	*eval.Result
	LogitsSHA256 string `json:"logits_sha256,omitempty"`
}

func (c *evalCmd) run(ctx context.Context, out, log io.Writer) (err error) {
	if c.Text == "" && (c.Wikitext || c.Divider != "") || c.Wikitext && c.Divider != "" {
		return errors.New("--wikitext and --divider say what --text holds: give one of them, with --text")
	}
	student, err := openEval(ctx, c.Model, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, student.close()) }()
	length := min(maxLength, student.Header().Config.MaxPositionEmbeddings)
	var teacher *evalModel
	if c.Teacher != "" {
		if teacher, err = openEval(ctx, c.Teacher, log); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, teacher.close()) }()
		length = min(length, teacher.Header().Config.MaxPositionEmbeddings)
	}
	if c.Length != 0 {
		length = c.Length
	}
	if length < 2 {
		return fmt.Errorf("--length %d: want 2 or more: a token to begin with and one to predict", length)
	}
	text, source, err := c.text(student.Header(), length)
	if err != nil {
		return err
	}
	dev, err := device.Open(c.Device, c.Threads)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()

	q, m := student.Header().Quantization, &student.Header().Config
	r := evalReport{
		Model: c.Model, Bits: q.Bits.String(), KVScheme: string(q.KVScheme), KVBytes: m.NumHiddenLayers * q.KV().TokenBytes(m.NumKeyValueHeads, m.HeadDim),
		Teacher: c.Teacher, Device: dev.Device.Name(), Source: source, Text: text,
	}
	tell, end := progress.Line(log, 10*time.Second)
	defer end()
	options := func(what string) eval.Options {
		start := time.Now()
		return eval.Options{Threads: dev.Threads, Progress: progress.Every(2*time.Second, func(done, total int64, left time.Duration) {
			tell(fmt.Sprintf("%s: %d of %d tokens, %.0f tokens/s, %v left", what, done, total, float64(done)/time.Since(start).Seconds(), left.Round(time.Second)))
		})}
	}
	if teacher == nil {
		r.Result, err = eval.Perplexity(ctx, dev.Device, student.File, text.Windows, options("perplexity"))
	} else {
		r.Result, err = eval.Compare(ctx, dev.Device, student.File, teacher.File, text.Windows, options("comparison"))
	}
	if err == nil && c.Hash {
		r.LogitsSHA256, err = eval.Hash(ctx, dev.Device, student.File, text.Windows, options("hash"))
	}
	if end(); err != nil {
		return err
	}
	if !c.Each {
		r.Each = nil
	}
	if c.JSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	return r.print(out)
}

// text reads what the flags name, for a model of header h.
func (c *evalCmd) text(h *qat.Header, length int) (text *eval.Text, source string, err error) {
	if c.Text == "" {
		source = strings.Join(c.Data, ", ")
		text, err = eval.Shards(c.Data, h.Config.VocabSize, length)
		return text, source, err
	}
	if h.Tokenizer == nil {
		return nil, "", fmt.Errorf("%s: no tokenizer inside, to read %s with: make it again by llmqat quantize --tokenizer FILE", c.Model, c.Text)
	}
	raw, err := eval.ReadFile(c.Text)
	if err != nil {
		return nil, "", err
	}
	switch {
	case c.Wikitext:
		text, err = eval.Cut(h.Tokenizer, eval.WikiText(raw), length)
	case c.Divider != "":
		var list []string
		for _, s := range strings.Split("\n"+raw+"\n", "\n"+c.Divider+"\n") {
			list = append(list, strings.Trim(s, "\n"))
		}
		text, err = eval.Documents(h.Tokenizer, list, length)
	default:
		text, err = eval.Cut(h.Tokenizer, raw, length)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", c.Text, err)
	}
	return text, c.Text, err
}

// print is the report for people.
func (r *evalReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s, KV cache %s, %d bytes a token; on %s\n", r.Model, r.Bits, r.KVScheme, r.KVBytes, r.Device)
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
		fmt.Fprintf(t, "teacher's perplexity\t%s\t%s\n", show(c.TeacherPerplexity, "%.4f", 1), r.Teacher)
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

// evalModel is a .qat file, perhaps a temporary one.
type evalModel struct {
	*qat.File
	dir string // to be removed
}

// openEval opens a .qat file, or makes one of a float model.
func openEval(ctx context.Context, path string, log io.Writer) (m *evalModel, err error) {
	if strings.HasSuffix(path, ".qat") {
		f, err := qat.Open(path)
		return &evalModel{File: f}, err
	}
	src, err := source.Open(path, "")
	if err != nil {
		return nil, err
	}
	defer src.Close()
	m = &evalModel{}
	if m.dir, err = os.MkdirTemp("", "llmqat-eval-"); err != nil {
		return nil, err
	}
	o := convert.Options{Bits: quant.Bits{W: 16, A: 16, KV: 16}, Float: qat.Float32, Source: filepath.Base(path), CreatedBy: "llmqat " + version}
	var end func()
	o.Progress, end = progress.Bar(log, "converting "+filepath.Base(path))
	file := filepath.Join(m.dir, "m.qat")
	err = convert.Quantize(ctx, src, file, o)
	if end(); err == nil {
		m.File, err = qat.Open(file)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s as a temporary .qat file: %w", path, err), os.RemoveAll(m.dir))
	}
	return m, nil
}

func (m *evalModel) close() error {
	err := m.File.Close()
	if m.dir != "" {
		err = errors.Join(err, os.RemoveAll(m.dir))
	}
	return err
}
