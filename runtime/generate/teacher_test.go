package generate

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
)

// floatModel writes a small Hugging Face model without a tokenizer to dir.
func floatModel(t *testing.T, dir string, seed uint64) string {
	t.Helper()
	c := format.Config{HiddenSize: 32, IntermediateSize: 48, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 8, VocabSize: 100}
	entries, data := map[string]any{}, []byte{}
	r := rand.New(rand.NewPCG(seed, 0))
	for _, x := range c.Tensors() {
		shape, begin := []int{x.Out, x.In}, len(data)
		if x.In == 0 {
			shape = shape[:1]
		}
		for range x.Out * max(x.In, 1) {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(r.NormFloat64())/8))
		}
		entries[x.Name] = map[string]any{"dtype": "F32", "shape": shape, "data_offsets": []int{begin, len(data)}}
	}
	header, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("model.safetensors", slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header, data))
	write("config.json", []byte(`{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 48,
		"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 64,
		"rms_norm_eps": 1e-5, "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": false}`))
	return dir
}

func open(t *testing.T, path string) *Teacher {
	t.Helper()
	m, err := OpenTeacher(context.Background(), path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// float returns the path of the teacher's .qat file in dir.
func float(t *testing.T, m *Teacher, dir string) string {
	t.Helper()
	f, err := m.Float(context.Background(), dir, convert.Options{CreatedBy: "test"}, func(string) {})
	if err != nil {
		t.Error(err)
		return ""
	}
	return f.Path()
}

// A float model is converted once; another one under its name is another teacher.
func TestConvertedOnce(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	first := open(t, floatModel(t, dir, 1))
	var wg sync.WaitGroup
	for range 3 { // together: one converts, the others wait or find it
		m := open(t, dir)
		wg.Go(func() { float(t, m, cache) })
	}
	wg.Wait()
	path := float(t, first, cache)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if again.SHA256 != first.SHA256 || again.Name != filepath.Base(dir) {
		t.Errorf("opened again: %s %s, want %s %s", again.Name, again.SHA256, filepath.Base(dir), first.SHA256)
	}
	if float(t, again, cache) != path {
		t.Error("the same teacher has another file")
	}
	if after, err := os.Stat(path); err != nil || !after.ModTime().Equal(before.ModTime()) || !os.SameFile(before, after) {
		t.Errorf("the file was made again: %v", err)
	}
	if list, _ := os.ReadDir(cache); len(list) != 1 {
		t.Errorf("the directory holds %v, want one file", list)
	}
	// Given as a .qat file it is the same teacher.
	if m := open(t, path); m.SHA256 != first.SHA256 || float(t, m, "nowhere") != path {
		t.Errorf("its .qat file is teacher %s, want %s", m.SHA256, first.SHA256)
	}
	// A file that is not whole is made again.
	if err := os.Truncate(path, before.Size()-1); err != nil {
		t.Fatal(err)
	}
	float(t, open(t, dir), cache)
	if after, err := os.Stat(path); err != nil || after.Size() != before.Size() {
		t.Errorf("a cut file stays cut: %v", err)
	}
	// So is one of another model.
	other, err := os.ReadFile(qatFile(t, "16-16-16", 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, other, 0o666); err != nil {
		t.Fatal(err)
	}
	float(t, open(t, dir), cache)
	if m := open(t, path); m.SHA256 != first.SHA256 {
		t.Error("another model under the name of the teacher's file is taken for it")
	}
	second := open(t, floatModel(t, dir, 2))
	if second.SHA256 == first.SHA256 || float(t, second, cache) == path {
		t.Error("a changed model is the same teacher")
	}
}

// While another process converts the teacher, nobody else does, nor fails for it.
func TestWaitsForConversion(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	m := open(t, floatModel(t, dir, 1))
	model, err := qat.Open(qatFile(t, "16-16-16", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	h := model.Header()
	other, err := qat.Create(filepath.Join(cache, "teacher-"+m.SHA256[len("sha256:"):][:16]+".qat"), h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := m.Float(ctx, cache, convert.Options{}, func(string) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted while waiting: %v", err)
	}
	f, err := m.Float(context.Background(), cache, convert.Options{}, func(string) { other.Abort() })
	if err != nil || f.Header().Provenance.SourceHash != m.SHA256 {
		t.Errorf("after waiting: %v", err)
	}
}

func TestTeacherRefused(t *testing.T) {
	ctx := context.Background()
	quantized, random := qatFile(t, "4-8-4", 1), qatFile(t, "16-16-16", 1)
	for says, given := range map[string][2]string{
		"4-8-4 with an lm_head of 8 bits, and data are sampled from the float model": {quantized, ""},
		"leave --tokenizer out": {random, "tokenizer.model"},
		"no such file":          {random + "x", ""},
	} {
		if _, err := OpenTeacher(ctx, given[0], given[1], nil); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), given[0]) {
			t.Errorf("%v: %v, want an error that says %q", given, err, says)
		}
	}
	if a, b := open(t, random).SHA256, open(t, qatFile(t, "16-16-16", 2)).SHA256; a == b {
		t.Error("other random weights are the same teacher")
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	if _, err := OpenTeacher(stopped, floatModel(t, t.TempDir(), 1), "", nil); err == nil {
		t.Error("interrupted, a model is hashed")
	}
}
