package hf

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels/quant"
)

// object is a JSON object in tests.
type object = map[string]any

// entry is a tensor in a test's safetensors file.
type entry struct {
	name, dtype string
	shape       []int
	data        []byte
}

// tinyConfig is the config.json of the tests' model.
func tinyConfig() object {
	return object{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama",
		"hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
		"num_key_value_heads": 1, "vocab_size": 5, "max_position_embeddings": 16,
		"rms_norm_eps": 1e-5, "rope_theta": 500000.0, "hidden_act": "silu",
		"bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "bfloat16",
	}
}

// tinyTensors returns the untied tensors of tinyConfig as dtype; element e of tensor i
// is value(i, e).
func tinyTensors(dtype string) []entry {
	c := format.Config{HiddenSize: 8, IntermediateSize: 12, NumHiddenLayers: 2, NumAttentionHeads: 2, NumKeyValueHeads: 1,
		HeadDim: 4, VocabSize: 5}
	var list []entry
	for i, s := range c.Tensors() {
		e := entry{name: s.Name, dtype: dtype, shape: []int{s.Out}}
		if s.In > 0 {
			e.shape = append(e.shape, s.In)
		}
		for j := range s.Out * max(s.In, 1) {
			switch x := value(i, j); dtype {
			case "F32":
				e.data = binary.LittleEndian.AppendUint32(e.data, math.Float32bits(x))
			case "F16":
				e.data = binary.LittleEndian.AppendUint16(e.data, quant.Float16(x))
			case "BF16":
				e.data = binary.LittleEndian.AppendUint16(e.data, quant.BFloat16(x))
			}
		}
		list = append(list, e)
	}
	return list
}

// value is exact in every dtype.
func value(tensor, element int) float32 { return float32((tensor*31+element*7)%255 - 127) }

// header returns the safetensors header of list, data from offset 0 on.
func header(list []entry) object {
	h := object{"__metadata__": object{"format": "pt"}}
	at := 0
	for _, e := range list {
		h[e.name] = object{"dtype": e.dtype, "shape": e.shape, "data_offsets": []int{at, at + len(e.data)}}
		at += len(e.data)
	}
	return h
}

// safetensorsFile joins a header and the data of list.
func safetensorsFile(header []byte, list []entry) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for _, e := range list {
		b = append(b, e.data...)
	}
	return b
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// tinyTokenizer is a tokenizer.model of the tiny model's five ids.
func tinyTokenizer() []byte {
	t, err := tokenizer.NewSentencePiece([]tokenizer.Piece{{Text: "<unk>"}, {Text: "<s>"}, {Text: "</s>"}, {Text: "a"}, {Text: "b"}},
		tokenizer.Normalizer{}, tokenizer.Special{BOS: 1, EOS: 2, AddBOS: true})
	if err != nil {
		panic(err)
	}
	_, data := t.File()
	return data
}

// files is a directory.
type files map[string][]byte

func tinyFiles(dtype string) files {
	list := tinyTensors(dtype)
	return files{
		"config.json":       marshal(tinyConfig()),
		"model.safetensors": safetensorsFile(marshal(header(list)), list),
		"tokenizer.model":   tinyTokenizer(),
	}
}

// sharded has the tensors in three files.
func sharded() files {
	f := tinyFiles("F32")
	delete(f, "model.safetensors")
	list := tinyTensors("F32")
	index := object{}
	for i, part := range [][]entry{list[:4], list[4:9], list[9:]} {
		name := []string{"a.safetensors", "b.safetensors", "c.safetensors"}[i]
		f[name] = safetensorsFile(marshal(header(part)), part)
		for _, e := range part {
			index[e.name] = name
		}
	}
	f["model.safetensors.index.json"] = marshal(object{"metadata": object{"total_size": 1}, "weight_map": index})
	return f
}

// write puts f into a new directory.
func (f files) write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range f {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// byteLevel is a tokenizer that writes itself as tokenizer.json; the first text is BOS.
func byteLevel(t testing.TB, texts ...string) *tokenizer.Tokenizer {
	t.Helper()
	pieces := []tokenizer.Piece{{Text: texts[0], Kind: tokenizer.Control}}
	for _, s := range texts[1:] {
		pieces = append(pieces, tokenizer.Piece{Text: s, Kind: tokenizer.Normal})
	}
	tok, err := tokenizer.NewByteLevel(pieces, nil, "llama-bpe", tokenizer.Special{BOS: 0, EOS: -1, AddBOS: true})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}
