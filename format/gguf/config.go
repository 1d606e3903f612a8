package gguf

import (
	"fmt"
	"math"
	"slices"

	"github.com/llmqat/llmqat/format"
)

// What llama.cpp takes where a file is silent.
const defaultRopeTheta = 10000

// config reads the model's shape from the metadata of f and, for what may be missing
// there, from its tensors.
func (f *file) config() (format.Config, error) {
	m := f.metadata
	c := format.Config{BOSTokenID: -1}
	if arch, err := m.string("general.architecture", ""); err != nil {
		return c, err
	} else if arch != "llama" {
		return c, fmt.Errorf("general.architecture is %.80q, want llama: %w", arch, format.ErrUnsupported)
	}
	if len(f.tensors) == 0 {
		return c, fmt.Errorf("a vocabulary without tensors, want a model: %w", format.ErrUnsupported)
	}
	for _, n := range []struct {
		key string
		to  *int
	}{
		{"llama.embedding_length", &c.HiddenSize},
		{"llama.feed_forward_length", &c.IntermediateSize},
		{"llama.block_count", &c.NumHiddenLayers},
		{"llama.attention.head_count", &c.NumAttentionHeads},
		{"llama.context_length", &c.MaxPositionEmbeddings},
	} {
		if _, ok := m[n.key]; !ok {
			return c, fmt.Errorf("no %s: %w", n.key, format.ErrCorrupt)
		}
		var err error
		if *n.to, err = m.int(n.key, 0); err != nil {
			return c, err
		}
	}
	if c.NumAttentionHeads < 1 {
		return c, fmt.Errorf("llama.attention.head_count is %d: %w", c.NumAttentionHeads, format.ErrCorrupt)
	}
	_, c.TieWordEmbeddings = f.tensors["output.weight"]
	c.TieWordEmbeddings = !c.TieWordEmbeddings

	embeddings := 0
	if t := f.tensors["token_embd.weight"]; len(t.dims) == 2 {
		embeddings = int(min(t.dims[1], math.MaxInt32))
	}
	var err error
	for _, n := range []struct {
		key       string
		to        *int
		otherwise int
	}{
		{"llama.vocab_size", &c.VocabSize, embeddings},
		{"llama.attention.head_count_kv", &c.NumKeyValueHeads, c.NumAttentionHeads},
		{"llama.attention.key_length", &c.HeadDim, c.HiddenSize / c.NumAttentionHeads},
	} {
		if *n.to, err = m.int(n.key, n.otherwise); err != nil {
			return c, err
		}
	}
	const eps = "llama.attention.layer_norm_rms_epsilon"
	if _, ok := m[eps]; !ok {
		return c, fmt.Errorf("no %s: %w", eps, format.ErrCorrupt)
	}
	if c.RMSNormEps, err = m.float(eps, 0); err != nil {
		return c, err
	}
	if c.RopeTheta, err = m.float("llama.rope.freq_base", defaultRopeTheta); err != nil {
		return c, err
	}
	if err := m.supported(&c); err != nil {
		return c, err
	}
	if c.RopeScaling, err = f.ropeScaling(&c); err != nil {
		return c, err
	}
	if c.BOSTokenID, c.EOSTokenIDs, err = m.ends(); err != nil {
		return c, err
	}
	return c, c.Check()
}

// supported refuses the metadata that makes another model than llmqat's LLaMA.
func (m metadata) supported(c *format.Config) error {
	for _, n := range []struct {
		key  string
		want int
	}{
		{"llama.rope.dimension_count", c.HeadDim},
		{"llama.attention.value_length", c.HeadDim},
		{"llama.expert_count", 0},
		{"llama.attention.sliding_window", 0},
	} {
		got, err := m.int(n.key, n.want)
		if err != nil {
			return err
		}
		if got != n.want {
			return fmt.Errorf("%s is %d, want %d: %w", n.key, got, n.want, format.ErrUnsupported)
		}
	}
	causal, err := m.bool("llama.attention.causal", true)
	if err == nil && !causal {
		err = fmt.Errorf("llama.attention.causal is false: %w", format.ErrUnsupported)
	}
	return err
}

// ends returns the ids that begin and end a text; -1 and none where the file names none.
func (m metadata) ends() (bos int, eos []int, err error) {
	if bos, err = m.id("bos"); err != nil {
		return
	}
	for _, name := range []string{"eos", "eot", "eom"} { // of a text, a turn, a message
		id, err := m.id(name)
		if err != nil {
			return bos, nil, err
		}
		if id >= 0 && !slices.Contains(eos, id) {
			eos = append(eos, id)
		}
	}
	return bos, eos, nil
}

// id returns the token id of a name, -1 where there is none.
func (m metadata) id(name string) (int, error) {
	key := "tokenizer.ggml." + name + "_token_id"
	id, err := m.int(key, -1)
	switch {
	case uint64(id) == math.MaxUint32: // how some writers spell -1
		return -1, err
	case id < -1:
		return -1, fmt.Errorf("%s is %d, want an id or -1: %w", key, id, format.ErrCorrupt)
	}
	return id, err
}
