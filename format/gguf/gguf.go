// Package gguf reads LLaMA models from GGUF files of version 2 and 3 and writes version 3, little-endian,
// with tensors in F32, F16, BF16, Q8_0 and Q4_0.
//
// A file is a header of metadata (keys and typed values: the shape and the whole
// vocabulary) and tensor entries, then the tensors' data. Every count and length of
// the header is checked against the bytes that are left before it is believed.
package gguf

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
	"github.com/llmqat/llmqat/format/internal/weights"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// Open opens a model. Its tokenizer is the file's own or, where tokenizerPath is not
// "", that of another file.
func Open(path, tokenizerPath string) (format.FileSource, error) {
	mem, err := mapped.Open(path)
	if err != nil {
		return nil, err
	}
	m, err := load(mem, tokenizerPath == "")
	if err == nil && tokenizerPath != "" {
		var vocab *mapped.File
		if m.Tokenizer, vocab, err = weights.ReadTokenizer(tokenizerPath, m.Config.VocabSize); err == nil {
			m.Files = append(m.Files, vocab)
		}
	}
	if err != nil {
		mem.Close()
		return nil, err
	}
	return m.Source(), nil
}

// load finds the tensors of a model and makes its tokenizer, where that is wanted.
func load(mem *mapped.File, vocabulary bool) (weights.Model, error) {
	m := weights.Model{Path: mem.Path, Files: []*mapped.File{mem}}
	err := mapped.Guard(mem.Path, func() error {
		f, err := parse(mem.Bytes())
		if err != nil {
			return err
		}
		if m.Config, err = f.config(); err != nil {
			return err
		}
		if m.Chat, err = f.metadata.chatTemplate(); err != nil {
			return err
		}
		if m.Tensors, err = f.match(&m.Config); err != nil || !vocabulary {
			return err
		}
		// The embedding is there and has a row for every id: a vocabulary cannot ask
		// for more memory than the file has bytes.
		if tokens, ok, err := f.metadata.array("tokenizer.ggml.tokens", kindString, -1); err != nil {
			return err
		} else if ok && tokens.count > m.Config.VocabSize {
			return fmt.Errorf("tokenizer.ggml.tokens has %d ids, the embedding %d: %w", tokens.count, m.Config.VocabSize, format.ErrCorrupt)
		}
		m.Tokenizer, err = f.metadata.tokenizer()
		return err
	})
	return m, named(mem.Path, err)
}

// named puts the file before an error.
func named(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tokenizer.ErrCorrupt), errors.Is(err, tokenizer.ErrUnsupported):
		return weights.TokenizerError(path, err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// match picks c's tensors from the file and refuses what would change the model.
func (f *file) match(c *format.Config) (map[string]weights.Tensor, error) {
	tensors := make(map[string]weights.Tensor)
	known := map[string]bool{ropeFreqs: true}
	for _, spec := range c.Tensors() {
		name := ggmlName(spec.Name)
		t, ok := f.tensors[name]
		if !ok {
			return nil, fmt.Errorf("no tensor %q: %w", name, format.ErrCorrupt)
		}
		dims := []uint64{uint64(spec.In), uint64(spec.Out)}
		if spec.In == 0 {
			dims = dims[1:]
		}
		if !slices.Equal(t.dims, dims) {
			return nil, fmt.Errorf("tensor %q is %v%d, the metadata want %d: %w", name, t.dtype, t.dims, dims, format.ErrCorrupt)
		}
		elements, dtype := t.elements()
		tensors[spec.Name] = weights.Tensor{DType: dtype, Elements: elements,
			Interleaved: strings.HasSuffix(name, "attn_q.weight") || strings.HasSuffix(name, "attn_k.weight")}
		known[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(f.tensors)) {
		if !known[name] {
			return nil, fmt.Errorf("tensor %q is no part of a LLaMA of this file's metadata: %w", name, format.ErrUnsupported)
		}
	}
	return tensors, nil
}

// ggmlName returns what GGUF calls a tensor of Hugging Face's name.
func ggmlName(name string) string {
	switch name {
	case ropeFreqs:
		return name
	case format.EmbedName:
		return "token_embd.weight"
	case format.NormName:
		return "output_norm.weight"
	case format.LMHeadName:
		return "output.weight"
	}
	layer, tail, _ := strings.Cut(strings.TrimPrefix(name, "model.layers."), ".")
	return "blk." + layer + "." + ggmlTails[tail]
}

var ggmlTails = map[string]string{
	"input_layernorm.weight":          "attn_norm.weight",
	"self_attn.q_proj.weight":         "attn_q.weight",
	"self_attn.k_proj.weight":         "attn_k.weight",
	"self_attn.v_proj.weight":         "attn_v.weight",
	"self_attn.o_proj.weight":         "attn_output.weight",
	"post_attention_layernorm.weight": "ffn_norm.weight",
	"mlp.gate_proj.weight":            "ffn_gate.weight",
	"mlp.up_proj.weight":              "ffn_up.weight",
	"mlp.down_proj.weight":            "ffn_down.weight",
}
