package hf

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmqat/llmqat/format"
)

func open(t *testing.T, f files) format.FileSource {
	t.Helper()
	src, err := Open(f.write(t), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	})
	return src
}

func TestReadRows(t *testing.T) {
	dirs := map[string]files{"F32": tinyFiles("F32"), "F16": tinyFiles("F16"), "BF16": tinyFiles("BF16"), "shards": sharded()}
	for name, f := range dirs {
		src := open(t, f)
		for i, s := range src.Config().Tensors() {
			if d := src.DType(s.Name); string(d) != name && name != "shards" {
				t.Errorf("%s: %s is %s", name, s.Name, d)
			}
			in := max(s.In, 1)
			dst := make([]float32, s.Out*in)
			if err := src.ReadRows(dst, s.Name, 0); err != nil {
				t.Fatal(err)
			}
			for j, x := range dst {
				if x != value(i, j) {
					t.Fatalf("%s: %s: element %d is %v, want %v", name, s.Name, j, x, value(i, j))
				}
			}
		}
	}
}

// A file that is no part of the computation is not read, wherever it lies.
func TestIgnored(t *testing.T) {
	f := tinyFiles("F32")
	list := append(tinyTensors("F32"),
		entry{"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", []int{2}, make([]byte, 8)},
		entry{"model.layers.1.self_attn.rotary_emb.inv_freq", "I64", []int{0, 3}, nil})
	f["model.safetensors"] = safetensorsFile(marshal(header(list)), list)
	f["README.md"] = []byte("x")
	open(t, f)

	// lm_head of a tied model is not read.
	c := tinyConfig()
	c["tie_word_embeddings"] = true
	f["config.json"] = marshal(c)
	src := open(t, f)
	if n := len(src.Config().Tensors()); n != 20 {
		t.Errorf("%d tensors, want 20", n)
	}
}

func TestConfig(t *testing.T) {
	base := format.Config{HiddenSize: 8, IntermediateSize: 12, NumHiddenLayers: 2, NumAttentionHeads: 2, NumKeyValueHeads: 1,
		HeadDim: 4, VocabSize: 5, MaxPositionEmbeddings: 16, RMSNormEps: 1e-5, RopeTheta: 500000, BOSTokenID: 1, EOSTokenIDs: []int{2}}
	llama3 := object{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8}
	scaled := &format.RopeScaling{Type: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxPositionEmbeddings: 8}
	for _, c := range []struct {
		name string
		set  object // nil: remove
		want func(*format.Config)
	}{
		{"plain", nil, func(c *format.Config) {}},
		{"KV heads default to heads", object{"num_key_value_heads": nil}, func(c *format.Config) { c.NumKeyValueHeads = 2 }},
		{"defaults", object{"rms_norm_eps": nil, "rope_theta": nil, "max_position_embeddings": nil, "hidden_act": nil},
			func(c *format.Config) { c.RMSNormEps, c.RopeTheta, c.MaxPositionEmbeddings = 1e-6, 1e4, 2048 }},
		{"head_dim", object{"head_dim": 16}, func(c *format.Config) { c.HeadDim = 16 }},
		{"tied", object{"tie_word_embeddings": true}, func(c *format.Config) { c.TieWordEmbeddings = true }},
		{"list of EOS", object{"eos_token_id": []int{2, 4}}, func(c *format.Config) { c.EOSTokenIDs = []int{2, 4} }},
		{"no ids", object{"bos_token_id": (*int)(nil), "eos_token_id": (*int)(nil)},
			func(c *format.Config) { c.BOSTokenID, c.EOSTokenIDs = -1, nil }},
		{"model_type alone", object{"architectures": nil}, func(c *format.Config) {}},
		{"linear", object{"rope_scaling": object{"type": "linear", "factor": 2.0}},
			func(c *format.Config) { c.RopeScaling = &format.RopeScaling{Type: "linear", Factor: 2} }},
		{"rope default", object{"rope_scaling": object{"rope_type": "default"}}, func(c *format.Config) {}},
		{"rope null", object{"rope_scaling": (*int)(nil), "quantization_config": (*int)(nil)}, func(c *format.Config) {}},
		{"llama3", object{"rope_scaling": llama3}, func(c *format.Config) { c.RopeScaling = scaled }},
		{"transformers 5", object{"rope_theta": nil, "rope_parameters": object{"rope_theta": 1e6, "rope_type": "default"}},
			func(c *format.Config) { c.RopeTheta = 1e6 }},
		{"transformers 5, llama3", object{"rope_parameters": llama3}, func(c *format.Config) { c.RopeScaling = scaled }},
	} {
		got, err := parseConfig(marshal(configWith(c.set)))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		want := base
		c.want(&want)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: want -, got +\n%s", c.name, d)
		}
	}
}

// configWith is tinyConfig with other values; an untyped nil removes the key.
func configWith(set object) object {
	c := tinyConfig()
	for k, v := range set {
		if v == nil {
			delete(c, k)
		} else {
			c[k] = v
		}
	}
	return c
}

func TestGenerationConfig(t *testing.T) {
	f := tinyFiles("F32")
	f["generation_config.json"] = []byte(`{"eos_token_id": [2, 3]}`)
	if got := open(t, f).Config().EOSTokenIDs; !slices.Equal(got, []int{2, 3}) {
		t.Errorf("EOS %d, want those of generation_config.json", got)
	}
	f["generation_config.json"] = []byte(`{"temperature": 1}`)
	if got := open(t, f).Config().EOSTokenIDs; !slices.Equal(got, []int{2}) {
		t.Errorf("EOS %d, want config.json's", got)
	}
	delete(f, "generation_config.json")
	f["config.json"] = marshal(configWith(object{"eos_token_id": (*int)(nil)}))
	if got := open(t, f).Config().EOSTokenIDs; !slices.Equal(got, []int{2}) {
		t.Errorf("EOS %d, want the tokenizer's", got)
	}
}

func TestChatTemplate(t *testing.T) {
	f := tinyFiles("F32")
	for config, want := range map[string]string{
		``: "", `{}`: "", `{"chat_template": null}`: "", `{"chat_template": "{{ x }}\n"}`: "{{ x }}\n",
		`{"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]}`: "d",
		`{"chat_template": [{"name": "rag", "template": "r"}]}`:                                       "",
	} {
		if delete(f, "tokenizer_config.json"); config != "" {
			f["tokenizer_config.json"] = []byte(config)
		}
		if got := open(t, f).ChatTemplate(); got != want {
			t.Errorf("%s: %q, want %q", config, got, want)
		}
	}
	f["chat_template.jinja"] = []byte("{{ file }}")
	f["tokenizer_config.json"] = []byte(`{"chat_template": "other"}`)
	if got := open(t, f).ChatTemplate(); got != "{{ file }}" {
		t.Errorf("%q, want the file's", got)
	}
}

func TestTokenizer(t *testing.T) {
	f := tinyFiles("F32")
	tok := open(t, f).Tokenizer()
	if tok == nil || tok.BOS() != 1 || tok.EOS() != 2 || !tok.AddBOS() {
		t.Fatalf("tokenizer.model: %+v", tok)
	}
	f["tokenizer_config.json"] = []byte(`{"add_bos_token": false, "bos_token": null, "eos_token": {"content": "b"}}`)
	if s := open(t, f).Tokenizer().Special(); s.BOS != 1 || s.EOS != 4 || s.AddBOS {
		t.Errorf("with tokenizer_config.json: %+v", s)
	}
	_, json := byteLevel(t, "<s>", "a", "b").File()
	f["tokenizer.json"] = json
	if n := open(t, f).Tokenizer().VocabSize(); n != 5 {
		t.Errorf("%d ids, want tokenizer.model's 5", n)
	}
	delete(f, "tokenizer.model")
	if n := open(t, f).Tokenizer().VocabSize(); n != 3 {
		t.Errorf("%d ids, want tokenizer.json's 3", n)
	}

	// A path given goes before the directory's.
	other := filepath.Join(t.TempDir(), "my.model")
	if err := os.WriteFile(other, tinyTokenizer(), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := Open(f.write(t), other)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if s := src.Tokenizer().Special(); s.EOS != 2 || !s.AddBOS {
		t.Errorf("tokenizer given by path: %+v", s)
	}

	delete(f, "tokenizer.json")
	if tok := open(t, f).Tokenizer(); tok != nil {
		t.Errorf("no tokenizer file, got %+v", tok)
	}
}

// Tokens added to a SentencePiece vocabulary stand in tokenizer.json alone.
func TestTokenizerAdded(t *testing.T) {
	f := tinyFiles("F32")
	f["config.json"] = marshal(configWith(object{"vocab_size": 6, "tie_word_embeddings": true}))
	list := tinyTensors("F32")
	list[0].shape[0], list[0].data = 6, make([]byte, 4*6*8)
	f["model.safetensors"] = safetensorsFile(marshal(header(list)), list)
	if n := open(t, f).Tokenizer().VocabSize(); n != 5 {
		t.Fatalf("%d ids, want 5", n)
	}
	_, f["tokenizer.json"] = byteLevel(t, "<s>", "a", "b", "c", "d", "e").File()
	if n := open(t, f).Tokenizer().VocabSize(); n != 6 {
		t.Errorf("%d ids, want tokenizer.json's 6", n)
	}
}

func TestHash(t *testing.T) {
	base := sharded()
	hash := func(f files) string {
		h, err := open(t, f).Hash(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	want := hash(base)
	if hash(base) != want {
		t.Error("the same files give two hashes")
	}
	for name := range base {
		f := maps.Clone(base)
		f[name] = slices.Clone(f[name])
		data := f[name]
		switch filepath.Ext(name) {
		case ".json":
			f[name] = append(data, ' ')
		case ".model":
			f[name] = append(data, 0xf8, 1, 0) // an unknown field
		default:
			data[len(data)-1] ^= 1
		}
		if hash(f) == want {
			t.Errorf("%s changed, the hash did not", name)
		}
	}
}

func TestNoModel(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty directory: %v", err)
	}
	f := tinyFiles("F32")
	delete(f, "model.safetensors")
	if _, err := Open(f.write(t), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no weights: %v", err)
	}
}
