// Package qat reads and writes .qat files: a quantized LLaMA, its scales, its
// tokenizer and where it came from, in one safetensors file that is used as it
// lies in memory. docs/format.md is the specification.
package qat

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Version is the format version written, and the highest one read.
const Version = 1

// ScaleSuffix follows the name of a quantized weight to name its scales.
const ScaleSuffix = "_scale"

// Float types of a Quantization.
const (
	Float16  = "float16"
	BFloat16 = "bfloat16"
	Float32  = "float32"
)

// Header is all of a .qat file but its weights.
type Header struct {
	Config       format.Config
	Quantization Quantization
	Provenance   Provenance
	Tokenizer    *tokenizer.Tokenizer // nil where the file has none
	ChatTemplate string               // in Jinja; "" where the file has none
}

// Provenance says where a model came from. Nothing in it changes what the model computes.
type Provenance struct {
	Source     string            `json:"source,omitempty"`      // what was quantized, in words
	SourceHash string            `json:"source_hash,omitempty"` // "sha256:..." of its bytes
	CreatedBy  string            `json:"created_by,omitempty"`  // program and version
	Seed       uint64            `json:"seed,omitempty"`        // of training, or of random weights
	Steps      int64             `json:"steps,omitempty"`       // of training
	Tokens     int64             `json:"tokens,omitempty"`      // of training
	Notes      map[string]string `json:"notes,omitempty"`       // anything else
}

// Quantization says in which formats a model's numbers are stored and computed.
type Quantization struct {
	Bits       quant.Bits     // of the layers' weights, of activations, and of the KV cache
	KVScheme   quant.KVScheme // recorded, and without effect, where Bits.KV is 16
	Float      string         // type of the embedding, of 16-bit weights and of a 16-bit lm_head
	LMHeadBits int            // 8 or 16
	Method     string         // how the weights were chosen: "rtn", "synth", "qat", or ptq's names joined by "+"
}

// KV is the format of the KV cache. 16 bits mean float32 where Float is float32.
func (q Quantization) KV() quant.KV {
	kv := quant.KV{Bits: q.Bits.KV, Scheme: q.KVScheme}
	if kv.Bits == 16 && q.Float == Float32 {
		kv.Bits = 32
	}
	return kv
}

// LMHeadActivationBits is the width of what lm_head reads: 8 where it and the
// layers' activations are quantized, else 16. It is 8 even where Bits.A is less.
func (q Quantization) LMHeadActivationBits() int {
	if q.LMHeadBits == 8 && q.Bits.A <= 8 {
		return 8
	}
	return 16
}

// QueryBits is the width of queries in attention: 8 where activations are
// quantized and scores are integer products, else 16.
func (q Quantization) QueryBits() int {
	if kv := q.KV(); q.Bits.A <= 8 && kv.Quantized() && !kv.RotateOnRead() {
		return 8
	}
	return 16
}

// Check returns an error that names the first part that no kernel has.
func (q Quantization) Check() error {
	if err := q.Bits.Check(); err != nil {
		return err
	}
	if _, err := quant.ParseKVScheme(string(q.KVScheme)); err != nil {
		return err
	}
	if _, ok := floatDTypes[q.Float]; !ok {
		return fmt.Errorf("float type %q: want %s, %s or %s", q.Float, Float16, BFloat16, Float32)
	}
	if q.LMHeadBits != 8 && q.LMHeadBits != 16 {
		return fmt.Errorf("lm_head of %d bits: want 8 or 16", q.LMHeadBits)
	}
	return nil
}

var floatDTypes = map[string]string{Float16: "F16", BFloat16: "BF16", Float32: "F32"}

func (h *Header) check() error {
	if err := h.Config.Check(); err != nil {
		return err
	}
	if err := h.Quantization.Check(); err != nil {
		return err
	}
	if _, err := json.Marshal(h.Config); err != nil {
		return fmt.Errorf("config: %w", err) // a NaN that Check has no reason to look at
	}
	if n := len(h.ChatTemplate); n > format.MaxChatTemplate || !utf8.ValidString(h.ChatTemplate) {
		return fmt.Errorf("chat template of %d bytes: want UTF-8 of at most %d", n, format.MaxChatTemplate)
	}
	if h.Tokenizer == nil {
		return nil
	}
	return format.CheckTokenizer(h.Tokenizer, h.Config.VocabSize)
}
