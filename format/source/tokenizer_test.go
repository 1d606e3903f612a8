package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/quant"
)

// A tokenizer is the same wherever it is read from.
func TestTokenizer(t *testing.T) {
	dir := t.TempDir()
	c := format.Config{
		HiddenSize: 16, IntermediateSize: 16, NumHiddenLayers: 1, NumAttentionHeads: 1, NumKeyValueHeads: 1, HeadDim: 16,
		VocabSize: 300, MaxPositionEmbeddings: 8, RMSNormEps: 1e-5, RopeTheta: 10000, BOSTokenID: 1, EOSTokenIDs: []int{2},
	}
	path := filepath.Join(dir, "m.qat")
	if err := convert.Synth(context.Background(), c, path, convert.Options{Bits: quant.Bits{W: 16, A: 16, KV: 16}}); err != nil {
		t.Fatal(err)
	}
	f, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := f.Header().Tokenizer
	name, data := want.File()
	config := `{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":16,"intermediate_size":16,"num_hidden_layers":1,"num_attention_heads":1,
		"num_key_value_heads":1,"vocab_size":%d,"max_position_embeddings":8,"rms_norm_eps":1e-5,"hidden_act":"silu"}`
	empty := filepath.Join(dir, "empty")
	for file, text := range map[string]string{name: string(data), "config.json": fmt.Sprintf(config, 300), "empty/config.json": fmt.Sprintf(config, 300), "m.bin": "x", "none.model": "none"} {
		if err := errors.Join(os.MkdirAll(empty, 0o777), os.WriteFile(filepath.Join(dir, file), []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{path, dir, filepath.Join(dir, name)} {
		got, err := Tokenizer(p)
		if err != nil {
			t.Fatal(err)
		}
		const text = "Once upon a time, é"
		if !slices.Equal(got.Encode(text), want.Encode(text)) || got.Special() != want.Special() {
			t.Errorf("%s: %v, %+v, want %v, %+v", p, got.Encode(text), got.Special(), want.Encode(text), want.Special())
		}
	}
	for p, says := range map[string]string{"m.bin": "want a tokenizer.model", "none.model": "none.model", "empty": "neither a tokenizer.model", "nowhere": "no such file"} {
		if _, err := Tokenizer(filepath.Join(dir, p)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want one that says %q", p, err, says)
		}
	}
	if _, err := Tokenizer(empty); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want one of a file that is not there", err)
	}
}
