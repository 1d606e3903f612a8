package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/kernels/quant"
)

// evalModel is a .qat file, perhaps a temporary one.
type evalModel struct {
	*qat.File
	dir string // to be removed
}

// floatBits are those of the file that is made of a float model.
var floatBits = quant.Bits{W: 16, A: 16, KV: 16}

// openEval opens a .qat file, or makes one of a float model, whose tokenizer may lie apart.
func openEval(ctx context.Context, path, tokenizer string, log io.Writer) (m *evalModel, err error) {
	if isQAT(path) {
		f, err := qat.Open(path)
		return &evalModel{File: f}, err
	}
	src, err := source.Open(path, tokenizer)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	m = &evalModel{}
	if m.dir, err = os.MkdirTemp("", "llmqat-eval-"); err != nil {
		return nil, err
	}
	o := convert.Options{Bits: floatBits, Float: qat.Float32, Source: filepath.Base(path), CreatedBy: "llmqat " + version}
	var end func()
	o.Progress, end = progress.Bar(log, "converting "+filepath.Base(path))
	file := filepath.Join(m.dir, filepath.Base(path)+".qat") // for messages
	err = convert.Quantize(ctx, src, file, o)
	if end(); err == nil {
		m.File, err = qat.Open(file)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s as a temporary .qat file: %w", path, err), os.RemoveAll(m.dir))
	}
	return m, nil
}

func isQAT(path string) bool { return strings.HasSuffix(path, ".qat") }

// noTokenizer means that a model cannot read something.
func noTokenizer(model, what string) error {
	return fmt.Errorf("%s: no tokenizer inside, to read %s with: make it again by llmqat quantize --tokenizer FILE", model, what)
}

func (m *evalModel) close() error {
	err := m.File.Close()
	if m.dir != "" {
		err = errors.Join(err, os.RemoveAll(m.dir))
	}
	return err
}
