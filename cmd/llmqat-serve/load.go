package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/device"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/serve"
)

// loaded is a model that runs.
type loaded struct {
	model serve.Model
	close func()
}

// load opens the model, says what it is and what it takes, and starts its engine.
func load(f *flags) (m *loaded, err error) {
	var undo []func()
	closeAll := func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()

	path, name := f.Model, strings.TrimSuffix(filepath.Base(f.Model), ".qat")
	if path == "" {
		if path, err = writeDemo(); err != nil {
			return nil, err
		}
		name = demoName
		// Removed as soon as it is mapped: a process may end before it can clean up. Windows only removes it after.
		undo = append(undo, func() { os.Remove(path) })
		defer os.Remove(path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	file, err := qat.Open(path)
	if err != nil && !strings.HasSuffix(path, ".qat") {
		return nil, fmt.Errorf("%w: want a .qat file, which llmqat quantize --model %s --out model.qat makes of a float model", err, path)
	} else if err != nil {
		return nil, err
	}
	undo = append(undo, func() { file.Close() })
	if f.Verify {
		if err := file.Verify(context.Background(), nil); err != nil {
			return nil, err
		}
	}
	h := file.Header()
	if h.Tokenizer == nil {
		return nil, fmt.Errorf("%s: no tokenizer in it, so it takes no text: quantize it again from a folder with tokenizer.model or tokenizer.json", path)
	}

	dev, err := device.Open(f.Device, f.Threads)
	if err != nil {
		return nil, err
	}
	undo = append(undo, func() {
		if err := dev.Close(); err != nil {
			slog.Warn("closing the device", "err", err)
		}
	})
	e, err := engine.New(file, engine.Options{
		Device: dev.Device, Threads: dev.Threads, MaxContext: f.Ctx, MaxSeqs: f.MaxSeqs, MaxQueue: f.MaxQueue, KVBytes: int64(f.KVMemory),
		Progress: progress.Every(2*time.Second, func(done, total int64, left time.Duration) {
			slog.Info("copying weights", "to", dev.Device.Name(), "done", bytes(done), "of", bytes(total), "left", left.Round(time.Second))
		}),
	})
	if err != nil {
		return nil, err
	}
	undo = append(undo, e.Close)
	describe(cmp.Or(f.Model, "(demo)"), h, e.Info(), dev)

	return &loaded{
		model: serve.Model{Name: cmp.Or(f.ModelName, name), Tokenizer: h.Tokenizer, Generator: e,
			MaxContext: e.Info().MaxContext, Created: info.ModTime(), Card: card(h, e.Info())},
		close: closeAll,
	}, nil
}

// describe logs the start-up lines.
func describe(path string, h *qat.Header, i engine.Info, dev *device.Opened) {
	c := h.Config
	slog.Info("model", "file", path, "parameters", i.Parameters, "layers", c.NumHiddenLayers, "hidden", c.HiddenSize,
		"heads", c.NumAttentionHeads, "kv_heads", c.NumKeyValueHeads, "vocab", c.VocabSize, "context", i.MaxContext)
	slog.Info("numbers", "bits", i.Bits, "kv_scheme", i.KVScheme, "lm_head_bits", h.Quantization.LMHeadBits,
		"float", h.Quantization.Float, "method", h.Quantization.Method)
	slog.Info("device", "name", i.Device, "why", dev.Why, "threads", dev.Threads, "max_seqs", i.MaxSeqs, "tokens_a_step", i.Budget)
	slog.Info("memory", "weights", bytes(i.WeightBytes), "kv_cache", bytes(i.KVBytes), "kv_tokens", i.KVPages*kernels.PageTokens,
		"scratch", bytes(i.ScratchBytes), "total", bytes(i.WeightBytes+i.KVBytes+i.ScratchBytes))
}
