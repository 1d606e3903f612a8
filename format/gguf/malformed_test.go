package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/damage"
	"github.com/llmqat/llmqat/format/internal/mapped"
)

// hostile are the values that lengths and counts of past exploits had.
var hostile = []uint64{0, 1 << 31, 1<<32 - 1, 1<<32 + 1, 1 << 62, 1<<63 - 1, 1 << 63, math.MaxUint64 - 31, math.MaxUint64}

func u32(v uint32) raw { return binary.LittleEndian.AppendUint32(nil, v) }
func u64(v uint64) raw { return binary.LittleEndian.AppendUint64(nil, v) }

func join(parts ...raw) raw {
	var b raw
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func at(offset uint64) *uint64 { return &offset }

func TestMalformed(t *testing.T) {
	type mutation struct {
		name  string
		f     func(g *draft)
		names string
	}
	key := func(key string, v any) func(*draft) { return func(g *draft) { g.set(key, v) } }
	tensor := func(name string, f func(t *draftTensor)) func(*draft) {
		return func(g *draft) { f(g.tensor(name)) }
	}
	dims := func(d ...uint64) func(*draft) {
		return tensor("blk.0.ffn_up.weight", func(t *draftTensor) { t.dims = d })
	}
	const q = "blk.0.attn_q.weight"

	list := []mutation{
		{"magic", func(g *draft) { g.magic = "GGUX" }, "GGUX"},
		{"magic of GGML", func(g *draft) { g.magic = "lmgg" }, "lmgg"},
		{"version 0", func(g *draft) { g.version = 0 }, "version 0"},
		{"version 1", func(g *draft) { g.version = 1 }, "version 1"},
		{"version 4", func(g *draft) { g.version = 4 }, "version 4"},
		{"big-endian", func(g *draft) { g.version = 3 << 24 }, "big-endian"},
		{"one tensor more", func(g *draft) { g.tensors = uint64(len(g.infos) + 1) }, ""},
		{"one tensor fewer", func(g *draft) { g.tensors = uint64(len(g.infos) - 1) }, ""},
		{"one key more", func(g *draft) { g.keys = uint64(len(g.metadata) + 1) }, ""},
		{"one key fewer", func(g *draft) { g.keys = uint64(len(g.metadata) - 1) }, ""},
		{"a key twice", func(g *draft) { g.metadata = append(g.metadata, g.metadata[1]) }, "twice"},
		{"a tensor twice", func(g *draft) { g.infos = append(g.infos, g.infos[1]) }, "twice"},

		{"no architecture", key("general.architecture", nil), "general.architecture"},
		{"architecture qwen2", key("general.architecture", "qwen2"), "qwen2"},
		{"architecture a number", key("general.architecture", uint32(1)), "general.architecture"},
		{"no tensors", func(g *draft) { g.infos = nil }, "vocabulary without tensors"},
		{"a value of type 13", key("x", u32(13)), "type 13"},
		{"a value of type 2^32-1", key("x", u32(math.MaxUint32)), "unknown"},
		{"an array of type 13", key("x", join(u32(9), u32(13), u64(1))), "type 13"},
		{"an array of arrays", key("x", join(u32(9), u32(9), u64(1), u32(9), u64(1), u32(4), u64(0))), "array of arrays"},
		{"no block_count", key("llama.block_count", nil), "llama.block_count"},
		{"block_count a string", key("llama.block_count", "2"), "llama.block_count"},
		{"block_count a float", key("llama.block_count", float32(2)), "llama.block_count"},
		{"block_count 0", key("llama.block_count", uint32(0)), "num_hidden_layers"},
		{"block_count -1", key("llama.block_count", int32(-1)), "num_hidden_layers"},
		{"block_count 3", key("llama.block_count", uint32(3)), "blk.2."},
		{"block_count 1", key("llama.block_count", uint32(1)), "blk.1."},
		{"block_count 2^63", key("llama.block_count", uint64(1<<63)), "llama.block_count"},
		{"head_count 0", key("llama.attention.head_count", uint32(0)), "head_count"},
		{"head_count of layers", key("llama.attention.head_count_kv", []int32{1, 1}), "head_count_kv"},
		{"head_count_kv 0", key("llama.attention.head_count_kv", uint32(0)), "num_key_value_heads"},
		{"head_count_kv 2", key("llama.attention.head_count_kv", uint32(2)), "attn_k"},
		{"embedding_length 0", key("llama.embedding_length", uint32(0)), "hidden_size"},
		{"embedding_length 2^32-1", key("llama.embedding_length", uint32(math.MaxUint32)), "hidden_size"},
		{"embedding_length 64", key("llama.embedding_length", uint32(64)), "token_embd.weight"},
		{"key_length 15", key("llama.attention.key_length", uint32(15)), ""},
		{"key_length 0", key("llama.attention.key_length", uint32(0)), ""},
		{"value_length 8", key("llama.attention.value_length", uint32(8)), "value_length"},
		{"partial RoPE", key("llama.rope.dimension_count", uint32(8)), "dimension_count"},
		{"experts", key("llama.expert_count", uint32(8)), "expert_count"},
		{"a window", key("llama.attention.sliding_window", uint32(8)), "sliding_window"},
		{"not causal", key("llama.attention.causal", false), "causal"},
		{"causal 2", key("llama.attention.causal", join(u32(7), raw{2})), "causal"},
		{"no epsilon", key("llama.attention.layer_norm_rms_epsilon", nil), "epsilon"},
		{"epsilon NaN", key("llama.attention.layer_norm_rms_epsilon", float32(math.NaN())), "rms_norm_eps"},
		{"epsilon an integer", key("llama.attention.layer_norm_rms_epsilon", uint32(1)), "epsilon"},
		{"freq_base 0", key("llama.rope.freq_base", float32(0)), "rope_theta"},
		{"freq_base infinite", key("llama.rope.freq_base", float32(math.Inf(1))), "rope_theta"},
		{"yarn", key("llama.rope.scaling.type", "yarn"), "yarn"},
		{"scaling factor 0", key("llama.rope.scaling.factor", float32(0)), "factor"},
		{"scaling factor NaN", key("llama.rope.scaling.factor", float32(math.NaN())), "factor"},
		{"context_length 0", key("llama.context_length", uint32(0)), "max_position_embeddings"},
		{"vocab_size 7", key("llama.vocab_size", uint32(7)), "token_embd.weight"},
		{"BOS outside", key("tokenizer.ggml.bos_token_id", uint32(6)), "token id 6"},
		{"EOS -2", key("tokenizer.ggml.eos_token_id", int32(-2)), ""},
		{"EOS a string", key("tokenizer.ggml.eos_token_id", "</s>"), "eos_token_id"},
		{"alignment 0", key("general.alignment", uint32(0)), "general.alignment"},
		{"alignment 24", key("general.alignment", uint32(24)), "general.alignment"},
		{"alignment 2^31", key("general.alignment", uint32(1<<31)), "general.alignment"},
		{"alignment -32", key("general.alignment", int32(-32)), "general.alignment"},
		{"alignment a string", key("general.alignment", "32"), "general.alignment"},
		{"another alignment", key("general.alignment", uint32(1024)), "multiple of 1024"},

		{"a tensor of no dimensions", dims(), "0 dimensions"},
		{"a tensor of five", dims(32, 64, 1, 1, 1), "5 dimensions"},
		{"transposed", dims(64, 32), "ffn_up"},
		{"three dimensions", dims(32, 64, 1), "ffn_up"},
		{"one dimension", dims(2048), "ffn_up"},
		{"a dimension 0", dims(32, 0), "ffn_up"},
		{"a row of 33", func(g *draft) {
			g.tensor(q).dtype, g.tensor(q).dims = uint32(typeQ8_0), []uint64{33, 32}
		}, "whole blocks"},
		{"a bias", func(g *draft) {
			g.infos = append(g.infos, draftTensor{name: "blk.0.attn_q.bias", dims: []uint64{32}, data: make([]byte, 128)})
		}, "attn_q.bias"},
		{"experts' tensor", func(g *draft) {
			g.infos = append(g.infos, draftTensor{name: "blk.0.ffn_gate_exps.weight", dims: []uint64{1, 1, 1}, data: make([]byte, 4)})
		}, "ffn_gate_exps"},
		{"another name", tensor(q, func(t *draftTensor) { t.name = "blk.00.attn_q.weight" }), q},
		{"an empty name", tensor(q, func(t *draftTensor) { t.name = "" }), q},
		{"a long name", tensor(q, func(t *draftTensor) { t.name = strings.Repeat("x", maxName+1) }), "4097"},
		{"off the alignment", tensor(q, func(t *draftTensor) { t.offset = at(33) }), "is at 33, want"},
		{"overlap", tensor(q, func(t *draftTensor) { t.offset = at(0) }), "is at 0, want"},
		{"overlap of the end", tensor(q, func(t *draftTensor) { t.offset = at(32) }), "is at 32, want"},

		{"bytes after the end", func(g *draft) { g.tail = make([]byte, 1) }, "1 bytes after"},
		{"bytes before the data", func(g *draft) { g.afterInfos = make([]byte, 32) }, "after the last tensor"},
		{"a hole", tensor(q, func(t *draftTensor) { t.data = append(t.data, make([]byte, 32)...) }), "is at"},

		{"tokenizer of T5", key("tokenizer.ggml.model", "t5"), "t5"},
		{"tokenizer a number", key("tokenizer.ggml.model", uint32(1)), "tokenizer.ggml.model"},
		{"no tokens", key("tokenizer.ggml.tokens", nil), "tokenizer.ggml.tokens"},
		{"tokens a string", key("tokenizer.ggml.tokens", "abcdef"), "tokenizer.ggml.tokens"},
		{"tokens of floats", key("tokenizer.ggml.tokens", []float32{1}), "tokenizer.ggml.tokens"},
		{"empty tokens", key("tokenizer.ggml.tokens", []string{}), "tokenizer.ggml.tokens"},
		{"more tokens than embeddings", key("tokenizer.ggml.tokens", []string{"a", "b", "c", "d", "e", "f", "g"}), "7 ids"},
		{"fewer tokens than scores", key("tokenizer.ggml.tokens", []string{"a"}), "tokenizer.ggml.scores"},
		{"fewer types than tokens", key("tokenizer.ggml.token_type", []int32{1}), "tokenizer.ggml.token_type"},
		{"token type 7", key("tokenizer.ggml.token_type", []int32{7, 1, 1, 1, 1, 1}), "type 7"},
		{"token type -1", key("tokenizer.ggml.token_type", []int32{-1, 1, 1, 1, 1, 1}), "type -1"},
		{"a score NaN", key("tokenizer.ggml.scores", []float32{float32(math.NaN()), 0, 0, 0, 0, 0}), "NaN"},
		{"byte token <0x-1>", func(g *draft) {
			g.set("tokenizer.ggml.tokens", []string{"<0x-1>", "<s>", "</s>", "a", "b", "c"})
			g.set("tokenizer.ggml.token_type", []int32{6, 3, 3, 1, 1, 1})
		}, "<0x-1>"},
		{"a token above 64 KiB", func(g *draft) {
			g.set("tokenizer.ggml.tokens", []string{strings.Repeat("x", 64<<10+1), "<s>", "</s>", "a", "b", "c"})
		}, "65537 bytes"},
		{"add_bos_token a string", key("tokenizer.ggml.add_bos_token", "yes"), "add_bos_token"},
		{"byte-level without merges", key("tokenizer.ggml.model", "gpt2"), "merges"},
		{"unknown pre-tokenizer", func(g *draft) {
			g.set("tokenizer.ggml.model", "gpt2")
			g.set("tokenizer.ggml.merges", []string{"a b"})
			g.set("tokenizer.ggml.pre", "klingon")
		}, "klingon"},
	}
	for _, d := range []uint32{3, 6, 7, 9, 10, 12, 14, 18, 20, 23, 24, 26, 34} {
		list = append(list, mutation{fmt.Sprintf("a tensor of %v", dtype(d)),
			tensor(q, func(t *draftTensor) { t.dtype = d }), dtype(d).String()})
	}
	for _, d := range []uint32{4, 5, 40, math.MaxUint32} {
		list = append(list, mutation{fmt.Sprintf("a tensor of unknown type %d", d),
			tensor(q, func(t *draftTensor) { t.dtype = d }), fmt.Sprintf("type %d", d)})
	}
	for _, v := range hostile {
		name := func(s string) string { return fmt.Sprintf("%s %d", s, v) }
		if v > 0 {
			list = append(list,
				mutation{name("tensors"), func(g *draft) { g.tensors = v }, fmt.Sprint(v)},
				mutation{name("keys"), func(g *draft) { g.keys = v }, fmt.Sprint(v)},
				mutation{name("strings of"), key("x", join(u32(9), u32(8), u64(v))), `"x"`},
				mutation{name("floats of"), key("x", join(u32(9), u32(6), u64(v))), `"x"`},
				mutation{name("bytes of"), key("x", join(u32(9), u32(0), u64(v))), `"x"`},
				mutation{name("string of"), key("x", join(u32(8), u64(v))), `"x"`},
				mutation{name("a string in an array of"), key("x", join(u32(9), u32(8), u64(1), u64(v))), `"x"`},
				mutation{name("offset"), tensor(q, func(t *draftTensor) { t.offset = at(v &^ 31) }), q},
			)
		}
		list = append(list,
			mutation{name("rows"), dims(32, v), "ffn_up"},
			mutation{name("columns"), dims(v, 64), "ffn_up"},
			mutation{name("outer dimension"), dims(32, 64, v), "ffn_up"},
			mutation{name("two dimensions of"), dims(v, v), "ffn_up"},
		)
	}
	for _, m := range list {
		g := tinyDraft(typeF32, false)
		m.f(g)
		_, err := openBytes(t, g.write())
		refused(t, m.name, err, m.names)
	}
	t.Logf("%d malformed files", len(list))
}

// Files with random damage.
func TestMutations(t *testing.T) {
	var good [][]byte
	for _, d := range []dtype{typeF32, typeQ8_0, typeQ4_0} {
		good = append(good, tinyDraft(d, true).write())
	}
	damage.Each(t, 3000, 300, good, func(b []byte) error {
		src, err := openBytes(t, b)
		if err == nil {
			err = rows(src)
		}
		return err
	}, format.ErrCorrupt, format.ErrUnsupported)
}

// rows reads all rows of every tensor.
func rows(src format.Source) error {
	for _, s := range src.Config().Tensors() {
		if err := src.ReadRows(make([]float32, s.Out*max(s.In, 1)), s.Name, 0); err != nil {
			return err
		}
	}
	return nil
}

// Every truncation of a file is an error.
func TestTruncated(t *testing.T) {
	whole := tinyDraft(typeQ4_0, true).write()
	for n := range len(whole) {
		_, err := openBytes(t, whole[:n])
		if !errors.Is(err, format.ErrCorrupt) {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, err := openBytes(t, whole); err != nil {
		t.Fatal(err)
	}
}

// A header of 16 MiB that goes on, and hostile ones of that size, cost a bounded
// multiple of their bytes.
func TestHeaderBounds(t *testing.T) {
	long := func(v any) []byte {
		g := tinyDraft(typeF32, true)
		g.metadata = append([]pair{{"x", v}}, g.metadata...)
		return g.write()
	}
	tokens := func(n int) []byte {
		g := tinyDraft(typeF32, true)
		g.set("tokenizer.ggml.tokens", make([]string, n))
		return g.write()
	}
	manyKeys := func(n int) []byte {
		g := tinyDraft(typeF32, true)
		for i := range n {
			g.metadata = append(g.metadata, pair{fmt.Sprint(i), true})
		}
		return g.write()
	}
	for name, c := range map[string]struct {
		data  []byte
		names string
	}{
		"one long string":      {long(strings.Repeat("x", maxHeader+1)), "goes on after"},
		"an array of strings":  {long(make([]string, maxHeader/8)), "goes on after"},
		"two million tokens":   {tokens(2_000_000), "2000000 ids"},
		"more keys than 65536": {manyKeys(maxKeys), "metadata keys"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := openBytes(t, c.data)
		runtime.ReadMemStats(&after)
		refused(t, name, err, c.names)
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
			t.Errorf("%s: %d MiB allocated", name, n>>20)
		}
	}
}

// FuzzOpen wants an error, or a model of which every row can be asked for.
func FuzzOpen(f *testing.F) {
	for _, d := range []dtype{typeF32, typeQ8_0, typeQ4_0} {
		f.Add(tinyDraft(d, true).write())
	}
	g := tinyDraft(typeQ4_0, false)
	g.set("tokenizer.ggml.model", "gpt2")
	g.set("tokenizer.ggml.merges", []string{"a b"})
	f.Add(g.write())
	vocabulary := tinyDraft(typeF32, true)
	vocabulary.infos = nil
	f.Add(vocabulary.write())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := load(mapped.Memory("m.gguf", data), true)
		if err != nil {
			if !errors.Is(err, format.ErrCorrupt) && !errors.Is(err, format.ErrUnsupported) {
				t.Fatalf("%v wraps neither sentinel", err)
			}
			if f, err := parse(data); err == nil {
				f.metadata.tokenizer()
			}
			return
		}
		if err := rows(m.Source()); err != nil && !errors.Is(err, format.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
