// Package format says what a LLaMA model is: its shape, the names and shapes of
// its tensors, and how a float model is read, whatever file it comes from. Its
// subpackages read and write the files.
package format

import (
	"errors"
	"fmt"
	"math"
)

// Sentinels that a caller may test for.
var (
	// ErrCorrupt means that a file is not what its format says: cut short, changed,
	// or never such a file.
	ErrCorrupt = errors.New("corrupt file")
	// ErrUnsupported means that a file is well formed but holds a model, or a
	// feature, that llmqat does not run.
	ErrUnsupported = errors.New("unsupported model")
)

// Config is the shape of a LLaMA, under Hugging Face's names.
type Config struct {
	HiddenSize            int          `json:"hidden_size"`
	IntermediateSize      int          `json:"intermediate_size"`
	NumHiddenLayers       int          `json:"num_hidden_layers"`
	NumAttentionHeads     int          `json:"num_attention_heads"`
	NumKeyValueHeads      int          `json:"num_key_value_heads"`
	HeadDim               int          `json:"head_dim"`
	VocabSize             int          `json:"vocab_size"`
	MaxPositionEmbeddings int          `json:"max_position_embeddings"`
	RMSNormEps            float64      `json:"rms_norm_eps"`
	RopeTheta             float64      `json:"rope_theta"`
	RopeScaling           *RopeScaling `json:"rope_scaling,omitempty"`
	TieWordEmbeddings     bool         `json:"tie_word_embeddings"`
	BOSTokenID            int          `json:"bos_token_id"`  // -1: none
	EOSTokenIDs           []int        `json:"eos_token_ids"` // generation ends at any of them
}

// RopeScaling changes RoPE's frequencies for long contexts.
type RopeScaling struct {
	Type                          string  `json:"rope_type"` // "linear" or "llama3"
	Factor                        float64 `json:"factor"`
	LowFreqFactor                 float64 `json:"low_freq_factor,omitempty"`                  // llama3
	HighFreqFactor                float64 `json:"high_freq_factor,omitempty"`                 // llama3
	OriginalMaxPositionEmbeddings int     `json:"original_max_position_embeddings,omitempty"` // llama3
}

// Bounds of the numbers in a Config: far above every known model, and small
// enough that no product of them overflows.
const (
	maxDim = 1 << 20
	// maxHeadDim is what attention's integer sums hold (kernels.MaxHeadDim).
	maxHeadDim = 256
	maxLayers  = 1 << 12
	maxVocab   = 1 << 22
	maxCtx     = 1 << 24
)

// Check returns an ErrUnsupported that names the first number that makes no LLaMA.
func (c *Config) Check() error {
	for _, n := range []struct {
		name    string
		v, most int
	}{
		{"hidden_size", c.HiddenSize, maxDim},
		{"intermediate_size", c.IntermediateSize, maxDim},
		{"num_hidden_layers", c.NumHiddenLayers, maxLayers},
		{"num_attention_heads", c.NumAttentionHeads, maxDim},
		{"num_key_value_heads", c.NumKeyValueHeads, maxDim},
		{"head_dim", c.HeadDim, maxHeadDim},
		{"vocab_size", c.VocabSize, maxVocab},
		{"max_position_embeddings", c.MaxPositionEmbeddings, maxCtx},
	} {
		if n.v < 1 || n.v > n.most {
			return fmt.Errorf("%s is %d, want 1 to %d: %w", n.name, n.v, n.most, ErrUnsupported)
		}
	}
	switch {
	case c.HeadDim%2 != 0:
		return fmt.Errorf("head_dim is %d, want an even number: RoPE turns pairs: %w", c.HeadDim, ErrUnsupported)
	case c.NumAttentionHeads%c.NumKeyValueHeads != 0:
		return fmt.Errorf("num_attention_heads %d is no multiple of num_key_value_heads %d: %w",
			c.NumAttentionHeads, c.NumKeyValueHeads, ErrUnsupported)
	case c.NumAttentionHeads*c.HeadDim > maxDim:
		return fmt.Errorf("num_attention_heads %d times head_dim %d exceeds %d: %w",
			c.NumAttentionHeads, c.HeadDim, maxDim, ErrUnsupported)
	case !(c.RMSNormEps >= 0 && c.RMSNormEps < 1):
		return fmt.Errorf("rms_norm_eps is %v, want 0 to 1: %w", c.RMSNormEps, ErrUnsupported)
	case !(c.RopeTheta >= 1 && c.RopeTheta <= 1e12):
		return fmt.Errorf("rope_theta is %v, want 1 to 1e12: %w", c.RopeTheta, ErrUnsupported)
	}
	for _, id := range append([]int{c.BOSTokenID}, c.EOSTokenIDs...) {
		if id < -1 || id >= c.VocabSize {
			return fmt.Errorf("token id %d, want one of the %d of the vocabulary: %w", id, c.VocabSize, ErrUnsupported)
		}
	}
	return c.RopeScaling.check()
}

func (s *RopeScaling) check() error {
	if s == nil {
		return nil
	}
	positive := func(v float64) bool { return v > 0 && !math.IsInf(v, 0) }
	switch s.Type {
	case "linear":
		if !positive(s.Factor) {
			return fmt.Errorf("rope_scaling factor is %v, want a positive number: %w", s.Factor, ErrUnsupported)
		}
	case "llama3":
		if !positive(s.Factor) || !positive(s.LowFreqFactor) || !(s.HighFreqFactor > s.LowFreqFactor) ||
			s.OriginalMaxPositionEmbeddings < 1 {
			return fmt.Errorf("rope_scaling %+v: want positive factors, high above low, and the original context: %w", *s, ErrUnsupported)
		}
	default:
		return fmt.Errorf("rope_scaling %q, want linear or llama3: %w", s.Type, ErrUnsupported)
	}
	return nil
}

// TensorSpec is the name and shape of one tensor of a model.
type TensorSpec struct {
	Name      string // Hugging Face's, as model.layers.0.self_attn.q_proj.weight
	Out, In   int    // [Out, In], or [Out] where In is 0
	Linear    bool   // a linear layer's weight, which is quantized; the rest stays float
	LMHead    bool   // the output layer
	Embedding bool   // the embedding table
}

// Names of the tensors outside the layers.
const (
	EmbedName  = "model.embed_tokens.weight"
	NormName   = "model.norm.weight"
	LMHeadName = "lm_head.weight"
)

// LayerName returns the full name of a layer's tensor, as LayerName(0, "mlp.up_proj.weight").
func LayerName(layer int, tail string) string { return fmt.Sprintf("model.layers.%d.%s", layer, tail) }

// Tensors lists the tensors of c in the order in which files hold them. lm_head
// is among them only where it is not tied to the embedding.
func (c *Config) Tensors() []TensorSpec {
	h, f := c.HiddenSize, c.IntermediateSize
	q, kv := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	list := []TensorSpec{{Name: EmbedName, Out: c.VocabSize, In: h, Embedding: true}}
	for l := range c.NumHiddenLayers {
		linear := func(tail string, out, in int) TensorSpec {
			return TensorSpec{Name: LayerName(l, tail), Out: out, In: in, Linear: true}
		}
		list = append(list,
			TensorSpec{Name: LayerName(l, "input_layernorm.weight"), Out: h},
			linear("self_attn.q_proj.weight", q, h),
			linear("self_attn.k_proj.weight", kv, h),
			linear("self_attn.v_proj.weight", kv, h),
			linear("self_attn.o_proj.weight", h, q),
			TensorSpec{Name: LayerName(l, "post_attention_layernorm.weight"), Out: h},
			linear("mlp.gate_proj.weight", f, h),
			linear("mlp.up_proj.weight", f, h),
			linear("mlp.down_proj.weight", h, f),
		)
	}
	list = append(list, TensorSpec{Name: NormName, Out: h})
	if !c.TieWordEmbeddings {
		list = append(list, TensorSpec{Name: LMHeadName, Out: c.VocabSize, In: h, LMHead: true})
	}
	return list
}

// MACs returns the multiply-adds of one token with the weights of layers and lm_head.
func (c *Config) MACs() (n int64) {
	for _, t := range c.Tensors() {
		if t.Linear || t.LMHead || t.Embedding && c.TieWordEmbeddings {
			n += int64(t.Out) * int64(t.In)
		}
	}
	return n
}

// ScoreMACs returns the multiply-adds of one token's queries with the keys of context tokens,
// of all layers: those of its weights with the values are as many.
func (c *Config) ScoreMACs(context float64) float64 {
	return float64(c.NumHiddenLayers) * float64(c.NumAttentionHeads*c.HeadDim) * context
}

// Parameters counts the model's numbers, a tied head once.
func (c *Config) Parameters() int64 {
	var n int64
	for _, t := range c.Tensors() {
		n += int64(t.Out) * int64(max(t.In, 1))
	}
	return n
}
