package hf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/damage"
	"github.com/llmqat/llmqat/format/internal/mapped"
)

// refused wants an error of Open that wraps a sentinel and names every one of words.
func refused(t *testing.T, what string, f files, words ...string) {
	t.Helper()
	dir := f.write(t)
	src, err := Open(dir, "")
	if err == nil {
		src.Close()
	}
	refusedBy(t, what, err, append(words, dir)...)
}

func refusedBy(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, format.ErrCorrupt) && !errors.Is(err, format.ErrUnsupported) {
		t.Errorf("%s: got %v", what, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q does not name %q", what, err, w)
		}
	}
}

func TestMalformedConfig(t *testing.T) {
	for _, c := range []struct {
		key   string
		value any
		names string
	}{
		{"architectures", []string{"MistralForCausalLM"}, "MistralForCausalLM"},
		{"architectures", []string{"Qwen2ForCausalLM"}, "Qwen2ForCausalLM"},
		{"architectures", []string{llama, llama}, "architectures"},
		{"architectures", []string{}, ""}, // model_type is llama: fine, but see below
		{"architectures", 3, "architectures"},
		{"attention_bias", true, "attention_bias"},
		{"mlp_bias", true, "mlp_bias"},
		{"hidden_act", "gelu", "gelu"},
		{"quantization_config", object{"quant_method": "gptq"}, "gptq"},
		{"partial_rotary_factor", 0.5, "partial_rotary_factor"},
		{"rope_scaling", object{"type": "dynamic", "factor": 2}, "dynamic"},
		{"rope_scaling", object{"rope_type": "yarn", "factor": 2}, "yarn"},
		{"rope_scaling", object{"rope_type": "longrope"}, "longrope"},
		{"rope_scaling", object{"factor": 2}, "rope_scaling"},
		{"rope_scaling", object{"type": "linear"}, "factor"},
		{"rope_scaling", object{"type": "linear", "factor": -1}, "factor"},
		{"rope_scaling", object{"rope_type": "llama3", "factor": 8}, "rope_scaling"},
		{"rope_scaling", "linear", "rope_scaling"},
		{"rope_parameters", object{"rope_type": "yarn"}, "rope_parameters"},
		{"rope_parameters", object{"partial_rotary_factor": 0.25}, "partial_rotary_factor"},
		{"rope_theta", 0, "rope_theta"},
		{"rope_theta", 1e308, "rope_theta"},
		{"rms_norm_eps", -1, "rms_norm_eps"},
		{"rms_norm_eps", "1e-5", "rms_norm_eps"},
		{"hidden_size", nil, "hidden_size"},
		{"hidden_size", 0, "hidden_size"},
		{"hidden_size", -8, "hidden_size"},
		{"hidden_size", 8.5, "hidden_size"},
		{"hidden_size", 1e308, "hidden_size"},
		{"hidden_size", 16, "embed_tokens"},
		{"intermediate_size", nil, "intermediate_size"},
		{"intermediate_size", uint64(math.MaxUint64), "intermediate_size"},
		{"num_hidden_layers", nil, "num_hidden_layers"},
		{"num_hidden_layers", 0, "num_hidden_layers"},
		{"num_hidden_layers", 1 << 40, "num_hidden_layers"},
		{"num_hidden_layers", 3, "model.layers.2."},
		{"num_hidden_layers", 1, "model.layers.1."},
		{"num_attention_heads", 0, "head"},
		{"num_attention_heads", 1 << 62, "head"},
		{"num_key_value_heads", 0, "num_key_value_heads"},
		{"num_key_value_heads", 2, "k_proj"},
		{"num_key_value_heads", []int{1, 1}, "num_key_value_heads"},
		{"head_dim", 3, "head_dim"},
		{"head_dim", 8, "q_proj"},
		{"vocab_size", nil, "vocab_size"},
		{"vocab_size", 4, "embed_tokens"},
		{"vocab_size", 1 << 30, "vocab_size"},
		{"max_position_embeddings", 0, "max_position_embeddings"},
		{"bos_token_id", 5, "token id 5"},
		{"eos_token_id", []int{2, -7}, "token id -7"},
		{"eos_token_id", []any{"</s>"}, "eos_token_id"},
		{"tie_word_embeddings", "yes", "tie_word_embeddings"},
	} {
		f := tinyFiles("F32")
		f["config.json"] = marshal(configWith(object{c.key: c.value}))
		if c.names == "" {
			f["config.json"] = marshal(configWith(object{c.key: c.value, "model_type": "opt"}))
			c.names = "opt"
		}
		refused(t, fmt.Sprintf("%s %v", c.key, c.value), f, c.names)
	}
	for what, data := range map[string]string{
		"empty": "", "not JSON": "hello", "cut": `{"architectures": ["Llama`, "an array": "[]", "NaN": `{"rope_theta": NaN}`,
		"two documents": "{}{}", "nested": strings.Repeat(`{"a":`, 20000), "a mebibyte more": strings.Repeat(" ", maxConfig+1),
	} {
		f := tinyFiles("F32")
		f["config.json"] = []byte(data)
		refused(t, what, f, "config.json")
	}
	// Without lm_head, the way out is named.
	f := tinyFiles("F32")
	list := tinyTensors("F32")
	list = list[:len(list)-1]
	f["model.safetensors"] = safetensorsFile(marshal(header(list)), list)
	refused(t, "no lm_head", f, "lm_head.weight", "tie_word_embeddings")
}

// Changes of one tensor's entry in the header, whose data stand at 0.
func TestMalformedTensor(t *testing.T) {
	const name = format.EmbedName // F32 [5, 8]: bytes 0 to 160
	maxU := uint64(math.MaxUint64)
	for _, c := range []struct {
		key   string
		value any
		names string
	}{
		{"dtype", "F8_E4M3", "F8_E4M3"},
		{"dtype", "F64", name},
		{"dtype", "I32", "I32"},
		{"dtype", "F16", name},
		{"dtype", "", "dtype"},
		{"dtype", 3, "dtype"},
		{"dtype", nil, name},
		{"shape", []int{8, 5}, "[8 5]"},
		{"shape", []int{40}, "[40]"},
		{"shape", []int{5, 8, 1}, "[5 8 1]"},
		{"shape", []int{1, 1, 1, 5, 8}, "shape"},
		{"shape", []int{5, 7}, "[5 7]"},
		{"shape", []int{0, 8}, "[0 8]"},
		{"shape", []int{}, name},
		{"shape", []int{-5, -8}, "shape"},
		{"shape", []float64{5.5, 8}, "shape"},
		{"shape", "5,8", "shape"},
		{"shape", []any{[]int{5}, 8}, "shape"},
		{"shape", nil, name},
		{"shape", []uint64{1 << 31, 1 << 31}, name},
		{"shape", []uint64{1<<32 + 1, 8}, name},
		{"shape", []uint64{1 << 62, 4}, "overflows"},
		{"shape", []uint64{maxU >> 1, 4}, "overflows"},
		{"shape", []uint64{maxU, 1}, "shape"},
		{"shape", []uint64{1 << 32, 1 << 32, 1 << 32, 0}, "overflows"},
		{"data_offsets", []int{0}, "data_offsets"},
		{"data_offsets", []int{0, 160, 320}, "data_offsets"},
		{"data_offsets", []int{160, 0}, "data_offsets"},
		{"data_offsets", []int{0, 159}, "[0 159]"},
		{"data_offsets", []int{-160, 0}, "data_offsets"},
		{"data_offsets", []uint64{0, 1 << 31}, "data_offsets"},
		{"data_offsets", []uint64{0, 1<<32 + 1}, "data_offsets"},
		{"data_offsets", []uint64{1 << 62, 1<<62 + 160}, "data_offsets"},
		{"data_offsets", []uint64{maxU >> 1, maxU >> 1}, "data_offsets"},
		{"data_offsets", []uint64{maxU - 160, maxU}, "data_offsets"},
		{"data_offsets", []float64{0, 1e308}, "data_offsets"},
		{"data_offsets", []int{32, 192}, "offset"},  // overlaps the next one
		{"data_offsets", []int{192, 352}, "offset"}, // leaves a hole at 0
		{"data_offsets", object{"0": 160}, "data_offsets"},
		{"data_offsets", nil, name},
		{"extra", 1, "extra"},
	} {
		list := tinyTensors("F32")
		h := header(list)
		e := h[name].(object)
		if c.value == nil {
			delete(e, c.key)
		} else {
			e[c.key] = c.value
		}
		f := tinyFiles("F32")
		f["model.safetensors"] = safetensorsFile(marshal(h), list)
		refused(t, fmt.Sprintf("%s %v", c.key, c.value), f, c.names)
	}
}

func TestMalformedSafetensors(t *testing.T) {
	list := tinyTensors("F32")
	h := header(list)
	text := string(marshal(h))
	whole := safetensorsFile([]byte(text), list)
	sized := func(size uint64) []byte {
		b := slices.Clone(whole)
		binary.LittleEndian.PutUint64(b, size)
		return b
	}
	withHeader := func(s string) []byte { return safetensorsFile([]byte(s), list) }
	with := func(more ...entry) []byte {
		list := append(slices.Clone(list), more...)
		return safetensorsFile(marshal(header(list)), list)
	}
	drop := func(name string) []byte {
		less := slices.DeleteFunc(slices.Clone(list), func(e entry) bool { return e.name == name })
		return safetensorsFile(marshal(header(less)), less)
	}
	huge := func() string {
		var b strings.Builder
		b.WriteString(`{"__metadata__":{}`)
		for i := range maxTensors + 1 {
			fmt.Fprintf(&b, `,"t%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`, i)
		}
		return b.String() + "}"
	}
	for _, c := range []struct {
		name  string
		data  []byte
		names string
	}{
		{"empty", nil, "0 bytes"},
		{"seven bytes", whole[:7], "7 bytes"},
		{"header's length only", whole[:8], "header"},
		{"cut in the header", whole[:100], "header"},
		{"cut in the data", whole[:len(whole)-1], "data_offsets"},
		{"one byte more", append(slices.Clone(whole), 0), "safetensors"},
		{"header length 0", sized(0), "header"},
		{"header length 2^31", sized(1 << 31), "2147483648"},
		{"header length 2^32-1", sized(1<<32 - 1), "header"},
		{"header length 2^32+1", sized(1<<32 + 1), "header"},
		{"header length 2^62", sized(1 << 62), "header"},
		{"header length 2^63-1", sized(1<<63 - 1), "header"},
		{"header length 2^64-1", sized(1<<64 - 1), "18446744073709551615"},
		{"header length 2^64-8", sized(1<<64 - 8), "header"},
		{"header above 16 MiB", withHeader(text + strings.Repeat(" ", maxHeader)), "header"},
		{"header no JSON", withHeader("hello"), "header"},
		{"header an array", withHeader("[]"), "want {"},
		{"header null", withHeader("null"), "want {"},
		{"header unfinished", withHeader(text[:len(text)-1]), "header"},
		{"header twice", withHeader(text + "{}"), "after the end"},
		{"header nested", withHeader(`{"__metadata__":` + strings.Repeat("[", 1<<20)), "header"},
		{"header of zeros", withHeader(strings.Repeat("\x00", 64)), "header"},
		{"metadata a number", withHeader(`{"__metadata__":{"a":1}}`), "want a string"},
		{"metadata a list", withHeader(`{"__metadata__":[]}`), "want {"},
		{"a tensor twice", withHeader(strings.Replace(text, `{"__metadata__"`,
			`{"model.norm.weight":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"__metadata__"`, 1)), "twice"},
		{"a tensor without entry", withHeader(strings.Replace(text, `{"__metadata__"`, `{"x":null,"__metadata__"`, 1)), "header"},
		{"two dtypes", withHeader(`{"x":{"dtype":"F32","dtype":"F32","shape":[0]}}`), "data_offsets"},
		{"a long name", withHeader(`{"` + strings.Repeat("x", maxName+1) + `":{}}`), "name of 4097 bytes"},
		{"too many tensors", withHeader(huge()), "65536 tensors"},
		{"no tensors", safetensorsFile([]byte("{}"), nil), "embed_tokens"},
		{"a bias", with(entry{"model.layers.0.self_attn.q_proj.bias", "F32", []int{8}, make([]byte, 32)}), "q_proj.bias"},
		{"a norm of Qwen3", with(entry{"model.layers.0.self_attn.q_norm.weight", "F32", []int{4}, make([]byte, 16)}), "q_norm"},
		{"a layer more", with(entry{"model.layers.2.mlp.up_proj.weight", "F32", []int{12, 8}, make([]byte, 384)}), "model.layers.2."},
		{"GPTQ", with(entry{"model.layers.0.mlp.up_proj.qweight", "I32", []int{1, 1}, make([]byte, 4)}), "qweight"},
		{"no norm", drop(format.NormName), format.NormName},
		{"no down_proj", drop("model.layers.1.mlp.down_proj.weight"), "model.layers.1.mlp.down_proj.weight"},
	} {
		f := tinyFiles("F32")
		f["model.safetensors"] = c.data
		refused(t, c.name, f, c.names)
	}
}

func TestMalformedIndex(t *testing.T) {
	const name = "model.safetensors.index.json"
	index := func(set object) []byte {
		m := object{}
		parts := []string{"a.safetensors", "b.safetensors", "c.safetensors"}
		for i, e := range tinyTensors("F32") {
			m[e.name] = parts[min(2, (i+1)/5)]
		}
		for k, v := range set {
			if v == nil {
				delete(m, k)
			} else {
				m[k] = v
			}
		}
		return marshal(object{"weight_map": m})
	}
	ok := sharded()
	ok[name] = index(nil)
	open(t, ok)

	many := func(tensors, shards int) []byte {
		m := object{}
		for i := range tensors {
			m[fmt.Sprint("t", i)] = fmt.Sprint("s", i%shards)
		}
		return marshal(object{"weight_map": m})
	}
	for _, c := range []struct {
		name  string
		data  []byte
		names string
	}{
		{"empty", nil, name},
		{"an array", []byte("[]"), name},
		{"cut", index(nil)[:50], name},
		{"no weight_map", []byte(`{"metadata":{}}`), "weight_map"},
		{"an empty weight_map", []byte(`{"weight_map":{}}`), "weight_map"},
		{"a shard that is a number", index(object{format.NormName: 3}), format.NormName},
		{"a shard outside", index(object{format.NormName: "../c.safetensors"}), "../c.safetensors"},
		{"a shard at the root", index(object{format.NormName: "/etc/passwd"}), "/etc/passwd"},
		{"a shard that leaves later", index(object{format.NormName: "x/../../c.safetensors"}), "x/../../c"},
		{"no shard", index(object{format.NormName: ""}), format.NormName},
		{"the directory as shard", index(object{format.NormName: "."}), "regular file"},
		{"another shard", index(object{format.NormName: "a.safetensors"}), format.NormName},
		{"a tensor that is nowhere", index(object{"x": "a.safetensors"}), `"x"`},
		{"a tensor too few", index(object{format.NormName: nil}), format.NormName},
		{"too many tensors", many(maxTensors+1, 1), "tensors"},
		{"too many shards", many(maxShards+1, maxShards+1), "shards"},
		{"deep", []byte(`{"metadata":` + strings.Repeat("[", 1<<20)), name},
		{"16 MiB of metadata and more", []byte(`{"metadata":[` + strings.Repeat("1,", maxIndex/2) + `1]}`), name},
	} {
		f := sharded()
		f[name] = c.data
		refused(t, c.name, f, c.names)
	}
	for what, change := range map[string]func(files){
		"a shard cut":  func(f files) { f["b.safetensors"] = f["b.safetensors"][:200] },
		"shards twice": func(f files) { f["b.safetensors"] = f["a.safetensors"] },
	} {
		f := sharded()
		change(f)
		refused(t, what, f, "b.safetensors")
	}
	f := sharded()
	delete(f, "b.safetensors")
	if _, err := Open(f.write(t), ""); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "b.safetensors") {
		t.Errorf("a shard that is not there: %v", err)
	}
}

func TestMalformedTokenizer(t *testing.T) {
	for _, c := range []struct{ file, data string }{
		{"tokenizer.model", ""},
		{"tokenizer.model", "\xff\xff"},
		{"tokenizer.json", "{"},
		{"tokenizer_config.json", "["},
		{"tokenizer_config.json", `{"add_bos_token": "yes"}`},
		{"tokenizer_config.json", `{"eos_token": 3}`},
		{"tokenizer_config.json", `{"chat_template": 3}`},
		{"tokenizer_config.json", `{"chat_template": {"default": "x"}}`},
		{"tokenizer_config.json", `{"chat_template": "` + strings.Repeat("x", format.MaxChatTemplate+1) + `"}`},
		{"chat_template.jinja", strings.Repeat("x", format.MaxChatTemplate+1)},
		{"chat_template.jinja", "\xff"},
		{"generation_config.json", `{"eos_token_id": [9]}`},
		{"generation_config.json", `{"eos_token_id": "x"}`},
	} {
		f := tinyFiles("F32")
		if c.file == "tokenizer.json" {
			delete(f, "tokenizer.model")
		}
		f[c.file] = []byte(c.data)
		refused(t, c.file+" "+c.data, f, c.file)
	}
	f := tinyFiles("F32")
	delete(f, "tokenizer.model")
	_, f["tokenizer.json"] = byteLevel(t, "<s>", "a", "b", "c", "d", "e").File()
	refused(t, "more ids than embeddings", f, "tokenizer.json", `token 5 "e"`, "5 embeddings")
}

// Directories with one file that has random damage: weights, with the header's length put right half of the time,
// a shard, the index, configurations and the tokenizer.
func TestMutations(t *testing.T) {
	for name, f := range map[string]files{"model.safetensors": tinyFiles("F32"), "model.safetensors.index.json": sharded(), "b.safetensors": sharded(),
		"config.json": tinyFiles("F32"), "tokenizer.model": tinyFiles("BF16")} {
		t.Run(name, func(t *testing.T) {
			dir, good := f.write(t), f[name]
			damage.Each(t, 600, 60, [][]byte{good}, func(b []byte) error {
				if len(b)%2 == 0 && len(b) > 8 && strings.HasSuffix(name, ".safetensors") {
					binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(good)+uint64(len(b)-len(good)))
				}
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
				src, err := Open(dir, "")
				if err == nil {
					for _, s := range src.Config().Tensors() {
						if err := src.ReadRows(make([]float32, max(s.In, 1)*s.Out), s.Name, 0); err != nil {
							src.Close()
							return err
						}
					}
					src.Close()
				}
				return err
			}, format.ErrCorrupt, format.ErrUnsupported, os.ErrNotExist) // a shard that the index misnames is not there
		})
	}
}

// A hostile header of the largest size costs a bounded multiple of its bytes.
func TestHeaderMemory(t *testing.T) {
	heads := map[string]string{
		"numbers":  `{"x":{"dtype":"F32","data_offsets":[0,0],"shape":[` + strings.Repeat("1,", maxHeader/2-64) + `1]}}`,
		"objects":  `{"x":` + strings.Repeat(`{"":`, maxHeader/4-64),
		"metadata": `{"__metadata__":[` + strings.Repeat(`{},`, maxHeader/3-64) + `{}]}`,
	}
	for name, h := range heads {
		file := mapped.Memory("m", safetensorsFile([]byte(h), nil))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readSafetensors(file)
		runtime.ReadMemStats(&after)
		refusedBy(t, name, err)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
			t.Errorf("%s: %d MiB allocated for a header of 16", name, n>>20)
		}
	}
}

// FuzzOpen wants an error, or tensors that can be read to their ends. The library walks maps,
// so that coverage varies: run it with -fuzzminimizetime 10x.
func FuzzOpen(f *testing.F) {
	for _, dtype := range []string{"F32", "F16", "BF16"} {
		f.Add(tinyFiles(dtype)["model.safetensors"])
	}
	f.Add(safetensorsFile([]byte(`{"x":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}`), []entry{{data: make([]byte, 8)}}))
	config, err := parseConfig(marshal(tinyConfig()))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := readSafetensors(mapped.Memory("m", data))
		if err != nil {
			if !errors.Is(err, format.ErrCorrupt) && !errors.Is(err, format.ErrUnsupported) {
				t.Fatalf("%v wraps neither sentinel", err)
			}
			return
		}
		found := make(map[string]stored)
		total := 0
		for _, v := range st.Tensors() {
			total += len(v.TensorView.Data())
			found[v.Name] = stored{v.TensorView, "m"}
		}
		if total > len(data) {
			t.Fatalf("%d bytes of tensors in a file of %d", total, len(data))
		}
		for _, c := range []*compression{nil, {bits: 4, packed: true}, {bits: 8, group: 3}} {
			tensors, err := match("m", &config, found, c)
			for _, s := range config.Tensors() {
				if err == nil {
					tensors[s.Name].Elements.Read(make([]float32, s.Out*max(s.In, 1)), 0)
				}
			}
		}
	})
}

// FuzzConfig wants an error, or a config that Check accepts, of all JSON files.
func FuzzConfig(f *testing.F) {
	f.Add(marshal(tinyConfig()))
	f.Add([]byte(`{"model_type":"llama","rope_scaling":{"type":"linear","factor":2},"eos_token_id":[1]}`))
	f.Add(sharded()["model.safetensors.index.json"])
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := parseConfig(data); err == nil && c.Check() != nil {
			t.Fatalf("%+v: %v", c, c.Check())
		}
		generationEOS(data)
		index, err := parseIndex(data)
		for _, shard := range index {
			if !filepath.IsLocal(shard) {
				t.Fatalf("shard %q (%v)", shard, err)
			}
		}
	})
}
