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
	"github.com/llmqat/llmqat/runtime/device"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/serve"
	"github.com/llmqat/llmqat/serve/chat"
)

// opened is a model's file and the device for it.
type opened struct {
	file    *qat.File
	name    string
	created time.Time
	dev     *device.Opened
	undo    []func()
}

func (m *opened) close() {
	for i := len(m.undo) - 1; i >= 0; i-- {
		m.undo[i]()
	}
}

// open opens the model and checks that it can be served.
func open(f *flags) (_ *opened, err error) {
	m := &opened{}
	defer func() {
		if err != nil {
			m.close()
		}
	}()

	path, name := f.Model, strings.TrimSuffix(filepath.Base(f.Model), ".qat")
	if path == "" {
		if path, err = writeDemo(); err != nil {
			return nil, err
		}
		name = demoName
		// Removed as soon as it is mapped: a process may end before it can clean up. Windows only removes it after.
		m.undo = append(m.undo, func() { os.Remove(path) })
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
	m.undo = append(m.undo, func() { file.Close() })
	if f.Verify {
		if err := file.Verify(context.Background(), nil); err != nil {
			return nil, err
		}
	}
	if file.Header().Tokenizer == nil {
		return nil, fmt.Errorf("%s: no tokenizer in it, so it takes no text: quantize it again from a folder with tokenizer.model or tokenizer.json", path)
	}

	dev, err := device.Open(f.Device, f.Threads)
	if err != nil {
		return nil, err
	}
	m.undo = append(m.undo, func() {
		if err := dev.Close(); err != nil {
			slog.Warn("closing the device", "err", err)
		}
	})
	m.file, m.name, m.created, m.dev = file, cmp.Or(f.ModelName, name), info.ModTime(), dev
	return m, nil
}

// chat returns the template that is asked for or else the file's, nil where there is none.
func (m *opened) chat(f *flags) (*chat.Template, error) {
	if f.Chat != "" {
		return chat.Load(f.Chat)
	}
	src := m.file.Header().ChatTemplate
	if src == "" {
		return nil, nil
	}
	t, err := chat.Parse(m.name, src)
	if err != nil { // the model completes texts all the same
		slog.Warn("conversations are refused: --chat-template would take another template than the file's", "err", err)
	}
	return t, nil
}

// options are the engine's.
func (m *opened) options(f *flags) engine.Options {
	return engine.Options{
		Device: m.dev.Device, Threads: m.dev.Threads, MaxContext: f.Ctx, MaxSeqs: f.MaxSeqs, Budget: f.StepTokens, Chunk: f.ChunkTokens,
		MaxQueue: f.MaxQueue, MaxQueueTokens: f.MaxQueueTokens, KVBytes: int64(f.KVMemory),
		Progress: progress.Every(2*time.Second, func(done, total int64, left time.Duration) {
			slog.Info("copying weights", "to", m.dev.Device.Name(), "done", bytes(done), "of", bytes(total), "left", left.Round(time.Second))
		}),
	}
}

// loaded is a model that runs.
type loaded struct {
	model serve.Model
	close func()
}

// load opens the model, says what it is and what it takes, and starts its engine.
func load(f *flags) (*loaded, error) {
	m, err := open(f)
	if err != nil {
		return nil, err
	}
	template, err := m.chat(f)
	if err != nil {
		m.close()
		return nil, err
	}
	e, err := engine.New(m.file, m.options(f))
	if err != nil {
		m.close()
		return nil, err
	}
	m.undo = append(m.undo, e.Close)
	h := m.file.Header()
	describe(cmp.Or(f.Model, "(demo)"), h, e.Info(), m.dev)
	return &loaded{
		model: serve.Model{Name: m.name, Tokenizer: h.Tokenizer, Generator: e, Chat: template,
			MaxContext: e.Info().MaxContext, Created: m.created, Card: card(h, e.Info(), template)},
		close: m.close,
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
	slog.Info("memory", "weights", bytes(i.WeightBytes), "kv_cache", bytes(i.KVBytes), "kv_tokens", i.KVTokens(),
		"scratch", bytes(i.ScratchBytes), "total", bytes(i.Bytes()))
}
