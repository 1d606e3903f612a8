package gguf

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/llmqat/llmqat/format/tokenizer"
)

// pair is a key of the metadata and its value: Go's types for GGUF's.
type pair struct {
	key   string
	value any
}

// metadata describes the model but for its vocabulary.
func (m *Model) metadata() []pair {
	c := m.Config
	list := []pair{
		{"general.architecture", "llama"},
		{"general.type", "model"},
		{"general.name", m.Name},
		{"general.file_type", fileTypes[m.Matrices]},
		{"general.quantization_version", uint32(2)},
		{"llama.vocab_size", uint32(c.VocabSize)},
		{"llama.context_length", uint32(c.MaxPositionEmbeddings)},
		{"llama.embedding_length", uint32(c.HiddenSize)},
		{"llama.block_count", uint32(c.NumHiddenLayers)},
		{"llama.feed_forward_length", uint32(c.IntermediateSize)},
		{"llama.attention.head_count", uint32(c.NumAttentionHeads)},
		{"llama.attention.head_count_kv", uint32(c.NumKeyValueHeads)},
		{"llama.attention.key_length", uint32(c.HeadDim)},
		{"llama.attention.value_length", uint32(c.HeadDim)},
		{"llama.attention.layer_norm_rms_epsilon", float32(c.RMSNormEps)},
		{"llama.rope.dimension_count", uint32(c.HeadDim)},
		{"llama.rope.freq_base", float32(c.RopeTheta)},
	}
	if s := c.RopeScaling; s != nil && s.Type == "linear" {
		list = append(list, pair{"llama.rope.scaling.type", "linear"}, pair{"llama.rope.scaling.factor", float32(s.Factor)})
	} else if s != nil { // rope_freqs.weight has the rest
		list = append(list, pair{"llama.rope.scaling.original_context_length", uint32(s.OriginalMaxPositionEmbeddings)})
	}
	if c.BOSTokenID >= 0 {
		list = append(list, pair{"tokenizer.ggml.bos_token_id", uint32(c.BOSTokenID)})
	}
	for i, name := range []string{"eos", "eot", "eom"} { // of a text, a turn, a message: any of them ends an answer
		if i < len(c.EOSTokenIDs) {
			list = append(list, pair{"tokenizer.ggml." + name + "_token_id", uint32(c.EOSTokenIDs[i])})
		}
	}
	return list
}

// vocabularyMetadata describes a tokenizer, whose tokens are as many as the model has embeddings: there as many are wanted.
func vocabularyMetadata(t *tokenizer.Tokenizer, size int) ([]pair, error) {
	v, err := t.Vocabulary()
	if err != nil {
		return nil, err
	}
	tokens, scores, types := make([]string, size), make([]float32, size), make([]int32, size)
	for id := range size {
		p := tokenizer.Piece{Text: fmt.Sprintf("[PAD%d]", id), Kind: tokenizer.Unused}
		if id < len(v.Pieces) {
			p = v.Pieces[id]
		}
		tokens[id], scores[id], types[id] = p.Text, p.Score, int32(p.Kind)
	}
	list := []pair{{"tokenizer.ggml.tokens", tokens}, {"tokenizer.ggml.token_type", types},
		{"tokenizer.ggml.add_bos_token", t.AddBOS()}, {"tokenizer.ggml.add_eos_token", false}}
	if id := t.UNK(); id >= 0 && int(id) < size {
		list = append(list, pair{"tokenizer.ggml.unknown_token_id", uint32(id)})
	}
	if v.ByteLevel {
		return append(list, pair{"tokenizer.ggml.model", "gpt2"}, pair{"tokenizer.ggml.pre", v.Pre},
			pair{"tokenizer.ggml.merges", v.Merges}), nil
	}
	return append(list, pair{"tokenizer.ggml.model", "llama"}, pair{"tokenizer.ggml.pre", "default"},
		pair{"tokenizer.ggml.scores", scores}, pair{"tokenizer.ggml.add_space_prefix", v.Normalizer.DummyPrefix},
		pair{"tokenizer.ggml.remove_extra_whitespaces", v.Normalizer.RemoveExtra}), nil
}

func appendInfo(b []byte, t info) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(appendString(b, t.name), uint32(len(t.dims)))
	for _, n := range t.dims {
		b = le.AppendUint64(b, n)
	}
	return le.AppendUint64(le.AppendUint32(b, uint32(t.dtype)), t.offset)
}

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

func appendValue(b []byte, v any) []byte {
	le := binary.LittleEndian
	head := func(k kind) []byte { return le.AppendUint32(b, uint32(k)) }
	array := func(k kind, n int) []byte {
		return le.AppendUint64(le.AppendUint32(head(kindArray), uint32(k)), uint64(n))
	}
	switch v := v.(type) {
	case uint32:
		return le.AppendUint32(head(kindUint32), v)
	case float32:
		return le.AppendUint32(head(kindFloat32), math.Float32bits(v))
	case bool:
		if v {
			return append(head(kindBool), 1)
		}
		return append(head(kindBool), 0)
	case string:
		return appendString(head(kindString), v)
	case []string:
		b = array(kindString, len(v))
		for _, s := range v {
			b = appendString(b, s)
		}
		return b
	case []float32:
		b = array(kindFloat32, len(v))
		for _, x := range v {
			b = le.AppendUint32(b, math.Float32bits(x))
		}
		return b
	case []int32:
		b = array(kindInt32, len(v))
		for _, x := range v {
			b = le.AppendUint32(b, uint32(x))
		}
		return b
	}
	panic(fmt.Sprintf("gguf: no type for %T", v))
}
