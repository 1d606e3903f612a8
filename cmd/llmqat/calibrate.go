package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/tokens"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/runtime/device"
	"github.com/llmqat/llmqat/runtime/generate"
	"github.com/llmqat/llmqat/train"
)

type calibrationFlags struct {
	Calibrate []string `help:"What methods that look at activations read: shards that llmqat-train generate made, directories of them, or a text file in UTF-8. Unset: samples that the model draws itself." type:"path" placeholder:"PATH,..."`
	Samples   *int     `name:"calibration-samples" help:"How many of its windows, by --seed; 0: all. Unset: 128." placeholder:"N"`
	Length    *int     `name:"calibration-length" help:"Tokens of a window. Unset: 2048, or the model's context where that is less." placeholder:"N"`
	Seed      uint64   `help:"Of the calibration's samples and of hadamard's rotations." default:"1"`
}

// defaultSamples is GPTQ's number, and how many are drawn where all of them are asked for.
const defaultSamples = 128

// given names the first flag, and its variable, that is of use only to methods that look at text.
func (f *calibrationFlags) given() string {
	switch {
	case len(f.Calibrate) > 0:
		return fmt.Sprintf("--calibrate %s (LLMQAT_CALIBRATE)", strings.Join(f.Calibrate, ","))
	case f.Samples != nil:
		return fmt.Sprintf("--calibration-samples %d (LLMQAT_CALIBRATION_SAMPLES)", *f.Samples)
	case f.Length != nil:
		return fmt.Sprintf("--calibration-length %d (LLMQAT_CALIBRATION_LENGTH)", *f.Length)
	}
	return ""
}

// calibrationText is what methods look at.
type calibrationText struct {
	windows [][]int32
	is      string // in words, with the SHA-256 of the windows
}

// text reads or draws what the flags ask for.
func (f *calibrationFlags) text(ctx context.Context, src format.Source, model, tokenizer string, dev *cpu.Device) (*calibrationText, error) {
	context := src.Config().MaxPositionEmbeddings
	samples, length := defaultSamples, min(eval.MaxLength, context)
	if f.Samples != nil {
		samples = *f.Samples
	}
	if f.Length != nil {
		length = *f.Length
	}
	if length < 2 || length > context {
		return nil, fmt.Errorf("--calibration-length %d: want 2 to %d, the model's context", length, context)
	}
	if samples < 0 {
		return nil, fmt.Errorf("--calibration-samples %d: want 1 or more, or 0 for all", samples)
	}
	all, from, err := f.read(ctx, src, model, tokenizer, samples, length, dev)
	if err != nil {
		return nil, err
	}
	t := &calibrationText{windows: pick(all.Windows, samples, f.Seed)}
	if samples > len(t.windows) {
		fmt.Fprintf(os.Stderr, "--calibration-samples %d: %s has %d windows of up to %d tokens: all are taken\n", samples, from, len(t.windows), length)
	}
	var d train.Data
	for _, w := range t.windows {
		d.Add(w, length)
	}
	t.is = fmt.Sprintf("%d windows of up to %d tokens, %d in all, of %s, seed %d, %s", len(t.windows), length, d.Tokens(), from, f.Seed, d.Hash())
	return t, nil
}

// read returns all windows, and what they are from.
func (f *calibrationFlags) read(ctx context.Context, src format.Source, model, tokenizer string, samples, length int, dev *cpu.Device) (*eval.Text, string, error) {
	if len(f.Calibrate) == 0 {
		t, err := f.draw(ctx, model, tokenizer, cmp.Or(samples, defaultSamples), length, dev)
		return t, "the model's own", err
	}
	var names []string
	for _, path := range f.Calibrate {
		names = append(names, filepath.Base(path))
	}
	from := strings.Join(names, ", ")
	if info, err := os.Stat(f.Calibrate[0]); err != nil {
		return nil, "", fmt.Errorf("--calibrate: %w", err)
	} else if len(f.Calibrate) > 1 || info.IsDir() || filepath.Ext(f.Calibrate[0]) == ".jsonl" {
		t, err := eval.Shards(f.Calibrate, src.Config().VocabSize, length)
		return t, from, err
	}
	if src.Tokenizer() == nil {
		return nil, "", fmt.Errorf("--calibrate %s: no tokenizer to read a text with: give one by --tokenizer", f.Calibrate[0])
	}
	raw, err := eval.ReadFile(f.Calibrate[0])
	if err != nil {
		return nil, "", err
	}
	t, err := eval.Cut(src.Tokenizer(), raw, length)
	if err != nil {
		err = fmt.Errorf("--calibrate %s, --calibration-length %d: %w", f.Calibrate[0], length, err)
	}
	return t, from, err
}

// draw has the model make up a text: from BOS alone where texts begin with it, else from
// the start tokens of the vocabulary, all by its own distribution.
func (f *calibrationFlags) draw(ctx context.Context, model, tokenizer string, samples, length int, dev *cpu.Device) (_ *eval.Text, err error) {
	dir, err := os.MkdirTemp("", "llmqat-calibration-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t, err := generate.OpenTeacher(ctx, model, tokenizer, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	p, err := generate.NewPlan(t, generate.Options{
		Shards: 1, Samples: int64(samples), MaxTokens: length, FromBOS: t.BeginsWithBOS(), Greedy: []int{0}, Temperature: 1, Seed: f.Seed,
	})
	if err != nil {
		return nil, err
	}
	file, err := t.Float(ctx, dir, convert.Options{CreatedBy: "llmqat " + version}, func(string) {})
	if err != nil {
		return nil, err
	}
	e, err := p.Engine(file, &device.Opened{Device: dev, Threads: dev.Workers()}, min(samples, 16), nil)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	path := filepath.Join(dir, tokens.ShardName(0, 1))
	w, err := tokens.Append(path, p.Header)
	if err != nil {
		return nil, err
	}
	tell, end := progress.Line(os.Stderr, 10*time.Second)
	start := time.Now()
	err = p.Run(ctx, e, w, func(x generate.Progress) {
		if x.Done > 0 {
			left := time.Duration(float64(time.Since(start)) / float64(x.Done) * float64(x.Total-x.Done))
			tell(fmt.Sprintf("calibration: %d of %d samples drawn, %v left", x.Done, x.Total, left.Round(time.Second)))
		}
	})
	end()
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return eval.Shards([]string{path}, t.Config.VocabSize, length)
}

// pick returns n of the windows, or all where that is 0 or more than there are: which
// ones follows from the seed, in what order not.
func pick(windows [][]int32, n int, seed uint64) [][]int32 {
	if n == 0 || n >= len(windows) {
		return windows
	}
	var some [][]int32
	r := rand.New(rand.NewPCG(seed, 0))
	for i, left := 0, len(windows); n > 0; i, left = i+1, left-1 {
		if r.IntN(left) < n {
			some, n = append(some, windows[i]), n-1
		}
	}
	return some
}
