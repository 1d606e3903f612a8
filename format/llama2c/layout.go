package llama2c

import (
	"fmt"
	"strings"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/weights"
)

// Tensors of a layer, as Hugging Face calls them.
const (
	attNorm = "input_layernorm.weight"
	ffnNorm = "post_attention_layernorm.weight"
	wq      = "self_attn.q_proj.weight"
	wk      = "self_attn.k_proj.weight"
	wv      = "self_attn.v_proj.weight"
	wo      = "self_attn.o_proj.weight"
	w1      = "mlp.gate_proj.weight"
	w2      = "mlp.down_proj.weight"
	w3      = "mlp.up_proj.weight"
)

// order lists the tensors in the order of the file; "" stands for the tables of
// RoPE's cosines and sines, which only the legacy format holds.
func (h header) order() []string {
	var names []string
	layers := func(tails ...string) {
		for _, tail := range tails {
			for l := range h.config.NumHiddenLayers {
				names = append(names, format.LayerName(l, tail))
			}
		}
	}
	if h.version == 0 {
		names = append(names, format.EmbedName)
		layers(attNorm, wq, wk, wv, wo, ffnNorm, w1, w2, w3)
		names = append(names, format.NormName, "")
	} else {
		layers(attNorm, ffnNorm)
		names = append(names, format.NormName, format.EmbedName)
		layers(wq, wk, wv, wo, w1, w2, w3)
	}
	if !h.config.TieWordEmbeddings {
		names = append(names, format.LMHeadName)
	}
	return names
}

// tensors finds every tensor in data, the whole file, whose size must be exactly
// what the header says.
func (h header) tensors(path string, data []byte) (map[string]weights.Tensor, error) {
	c := &h.config
	specs := make(map[string]format.TensorSpec)
	for _, s := range c.Tensors() {
		specs[s.Name] = s
	}
	// The numbers of a Config are bounded so that no sum here comes near 2^63.
	size := int64(h.size)
	for _, name := range h.order() {
		q, s, err := h.bytes(specs[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		size += q + s
	}
	if size != int64(len(data)) {
		return nil, fmt.Errorf("%s: %d bytes, the header %+v wants %d: %w", path, len(data), h.shape(), size, format.ErrCorrupt)
	}
	rest := data[h.size:]
	take := func(n int64) []byte {
		b := rest[:n:n]
		rest = rest[n:]
		return b
	}
	found := make(map[string]weights.Tensor, len(specs))
	for _, name := range h.order() {
		q, s, _ := h.bytes(specs[name])
		numbers, scales := take(q), take(s)
		if name == "" {
			continue
		}
		t := weights.Tensor{DType: format.F32, Elements: weights.F32(numbers)}
		if s > 0 {
			t = weights.Tensor{DType: format.Q8, Elements: weights.Grouped{Q: numbers, Scales: scales, Group: h.group}}
		}
		t.Interleaved = strings.HasSuffix(name, wq) || strings.HasSuffix(name, wk)
		found[name] = t
	}
	return found, nil
}

// bytes returns how many bytes the numbers of a tensor and their scales take. The
// zero spec is RoPE's tables.
func (h header) bytes(s format.TensorSpec) (numbers, scales int64, err error) {
	if s.Name == "" {
		return 4 * int64(h.config.MaxPositionEmbeddings) * int64(h.config.HeadDim), 0, nil
	}
	n := int64(s.Out) * int64(max(s.In, 1))
	if h.version < 2 || s.In == 0 {
		return 4 * n, 0, nil
	}
	if n%int64(h.group) != 0 {
		return 0, 0, fmt.Errorf("tensor %q: %d numbers are no whole groups of %d: %w", s.Name, n, h.group, format.ErrCorrupt)
	}
	return n, 4 * (n / int64(h.group)), nil
}

// shape is the header in llama2.c's words, for error texts.
func (h header) shape() any {
	c := h.config
	return struct{ Version, Dim, Hidden, Layers, Heads, KVHeads, Vocab, SeqLen, Group int }{
		h.version, c.HiddenSize, c.IntermediateSize, c.NumHiddenLayers, c.NumAttentionHeads, c.NumKeyValueHeads,
		c.VocabSize, c.MaxPositionEmbeddings, h.group}
}
