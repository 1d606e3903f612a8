package convert

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/gguf"
	"github.com/llmqat/llmqat/format/hf"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels/quant"
)

// exported is a model of odd shapes in a .qat file, with a tokenizer, tied or not.
func exported(t testing.TB, tied bool, o Options) *qat.File {
	return exportedOf(t, tied, o, func(*format.Config) {})
}

func exportedOf(t testing.TB, tied bool, o Options, change func(c *format.Config)) *qat.File {
	t.Helper()
	m := tiny()
	change(&m.config)
	m.config.TieWordEmbeddings = tied
	m.config.RopeScaling = &format.RopeScaling{Type: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxPositionEmbeddings: 16}
	tok, err := synthTokenizer(&m.config)
	if err != nil {
		t.Fatal(err)
	}
	o.Tokenizer = tok
	path := filepath.Join(t.TempDir(), "m.qat")
	if err := Quantize(context.Background(), m, path, o); err != nil {
		t.Fatal(err)
	}
	return open(t, path)
}

// all reads a whole tensor.
func all(t testing.TB, src format.Source, s format.TensorSpec) []float32 {
	t.Helper()
	x := make([]float32, s.Out*max(s.In, 1))
	if err := src.ReadRows(x, s.Name, 0); err != nil {
		t.Fatal(err)
	}
	return x
}

// sameModel compares what was read back with f's model: each number of want by equal.
func sameModel(t *testing.T, got, want format.Source, equal func(s format.TensorSpec, got, want float32) bool) {
	t.Helper()
	g, w := got.Config(), want.Config()
	if *g.RopeScaling != *w.RopeScaling {
		t.Errorf("RoPE is scaled by %+v, want %+v", *g.RopeScaling, *w.RopeScaling)
	}
	if len(g.Tensors()) != len(w.Tensors()) || g.BOSTokenID != w.BOSTokenID || len(g.EOSTokenIDs) != 1 || g.RMSNormEps != w.RMSNormEps ||
		g.MaxPositionEmbeddings != w.MaxPositionEmbeddings || g.RopeTheta != w.RopeTheta || g.NumKeyValueHeads != w.NumKeyValueHeads {
		t.Errorf("config is %+v, want %+v", g, w)
	}
	if got.ChatTemplate() != want.ChatTemplate() {
		t.Errorf("chat template is %q, want %q", got.ChatTemplate(), want.ChatTemplate())
	}
	sameTokenizer(t, got.Tokenizer(), want.Tokenizer())
	for _, s := range w.Tensors() {
		a, b := all(t, got, s), all(t, want, s)
		for i := range a {
			if !equal(s, a[i], b[i]) {
				t.Errorf("%s: number %d is %v, want %v", s.Name, i, a[i], b[i])
				break
			}
		}
	}
}

func sameTokenizer(t *testing.T, got, want *tokenizer.Tokenizer) {
	t.Helper()
	if got.Special() != want.Special() || got.VocabSize() != want.VocabSize() {
		t.Errorf("tokenizer of %d ids, %+v, want %d, %+v", got.VocabSize(), got.Special(), want.VocabSize(), want.Special())
	}
	for id := range int32(want.VocabSize()) {
		if got.Token(id) != want.Token(id) || got.IsSpecial(id) != want.IsSpecial(id) {
			t.Errorf("token %d is %q, want %q", id, got.Token(id), want.Token(id))
		}
	}
}

// differences names the tensors of f that are others when src is quantized as f was, and returns the new file.
func differences(t testing.TB, f *qat.File, src format.Source) (names []string, again *qat.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "again.qat")
	q := f.Header().Quantization
	if err := Quantize(context.Background(), src, path, Options{Bits: q.Bits, LMHeadBits: q.LMHeadBits, Float: q.Float}); err != nil {
		t.Fatal(err)
	}
	again = open(t, path)
	for _, x := range f.Tensors() {
		if y, _ := again.Tensor(x.Name); y.SHA256 != x.SHA256 {
			names = append(names, x.Name)
		}
	}
	return names, again
}

// A directory in float32 holds the numbers of the model, of which MinMax finds its integers and scales again; in 16
// bits their roundings.
func TestHF(t *testing.T) {
	type set struct {
		bits   string
		lmHead int
		tied   bool
	}
	for _, set := range []set{{"4-8-4", 8, true}, {"4-8-4", 16, true}, {"8-8-8", 8, false}, {"16-16-16", 16, false}} {
		f := exported(t, set.tied, Options{Bits: bits(t, set.bits), LMHeadBits: set.lmHead, Float: qat.Float16})
		for float, round := range map[string]func(x float32) float32{
			qat.Float32:  func(x float32) float32 { return x },
			qat.Float16:  func(x float32) float32 { return quant.Float16To32(quant.Float16(x)) },
			qat.BFloat16: func(x float32) float32 { return quant.BFloat16To32(quant.BFloat16(x)) },
		} {
			dir := filepath.Join(t.TempDir(), "m")
			done, total := int64(0), int64(0)
			if err := HF(context.Background(), f, dir, float, func(d, n int64) { done, total = d, n }); err != nil {
				t.Fatal(err)
			}
			if want := f.Source().Config().Parameters(); done != want || total != want {
				t.Errorf("told of %d of %d parameters, want %d", done, total, want)
			}
			got, err := hf.Open(dir, "")
			if err != nil {
				t.Fatal(err)
			}
			if want := set.tied && set.lmHead == 16; got.Config().TieWordEmbeddings != want {
				t.Errorf("%+v: read back as tied %t", set, !want)
			}
			sameModel(t, got, f.Source(), func(s format.TensorSpec, got, want float32) bool {
				return got == want && s.In == 0 || got == round(want)
			})
			if names, _ := differences(t, f, got); float == qat.Float32 && len(names) > 0 {
				t.Errorf("%+v: %q differ after a round trip", set, names)
			}
			got.Close()
		}
	}
}

// What is interrupted or cannot be written leaves nothing.
func TestHFLeavesNothing(t *testing.T) {
	f := exported(t, false, Options{Bits: bits(t, "4-8-4"), Float: qat.Float16})
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	err := HF(ctx, f, filepath.Join(dir, "m"), qat.Float32, func(done, total int64) {
		if done > total/2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	err = HF(context.Background(), f, dir, qat.Float32, nil)
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("over a folder with a file: %v", err)
	}
	if list, err := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("%v is left (%v), want the file alone", list, err)
	}
}

// A GGUF file holds the integers; their scales are what float16 makes of them.
func TestGGUF(t *testing.T) {
	for _, c := range []struct {
		bits     string
		lmHead   int
		tied     bool
		matrices format.DType
	}{{"4-8-4", 8, true, format.Q4}, {"4-8-4", 16, true, format.Q4}, {"4-8-4", 8, false, format.Q8}, {"8-8-8", 8, false, format.Q8},
		{"8-8-8", 8, true, format.F16}, {"16-16-16", 16, false, format.F16}} {
		f := exportedWide(t, c.tied, Options{Bits: bits(t, c.bits), LMHeadBits: c.lmHead, Float: qat.Float32})
		path := filepath.Join(t.TempDir(), "m.gguf")
		off, err := GGUF(context.Background(), f, path, c.matrices, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !(off.Scale < 1./2048) || (c.matrices != format.F16) != (off.Scale > 0) {
			t.Errorf("%+v: scales are off by %v", c, off.Scale)
		}
		// 70 inputs are no whole blocks.
		if want := c.matrices != format.F16; (len(off.Floats) == f.Header().Config.NumHiddenLayers) != want {
			t.Errorf("%+v: %q became floats", c, off.Floats)
		}
		got, err := gguf.Open(path, "")
		if err != nil {
			t.Fatal(err)
		}
		scale := map[string]float32{} // of row 0, by tensor
		for _, x := range f.Tensors() {
			if x.Quantized() && c.matrices != format.F16 && x.True[1]%gguf.Block == 0 {
				scale[x.Name] = f.Integers(make([]int8, x.True[1]), x, 0)
			}
		}
		sameModel(t, got, f.Source(), func(s format.TensorSpec, got, want float32) bool {
			switch of := scale[s.Name]; {
			case s.In == 0:
				return got == want
			case of == 0:
				return got == quant.Float16To32(quant.Float16(want))
			case s.Out == 1:
				return got == want/of*quant.Float16To32(quant.Float16(of))
			}
			return math.Abs(float64(got-want)) <= math.Abs(float64(want))/2048
		})
		got.Close()
	}
}

// exportedWide is exported with rows of whole blocks, but for down_proj.
func exportedWide(t testing.TB, tied bool, o Options) *qat.File {
	return exportedOf(t, tied, o, func(c *format.Config) { c.HiddenSize, c.NumAttentionHeads, c.HeadDim = 64, 4, 16 })
}

// outputs is the number of rows of a tensor.
func outputs(m *memory, name string) int {
	for _, s := range m.config.Tensors() {
		if s.Name == name {
			return s.Out
		}
	}
	panic(name)
}

func TestGGUFRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	for _, c := range []struct {
		bits     string
		matrices format.DType
		says     string
	}{{"8-8-8", format.Q4, "gguf-q8_0"}, {"16-16-16", format.Q4, "gguf-f16"}, {"16-16-16", format.Q8, "gguf-f16"}} {
		f := exported(t, false, Options{Bits: bits(t, c.bits), Float: qat.Float16})
		if _, err := GGUF(context.Background(), f, path, c.matrices, nil); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s as %s: %v, want an error that says %s", c.bits, c.matrices, err, c.says)
		}
		if _, err := GGUF(context.Background(), f, f.Path(), format.F16, nil); err == nil {
			t.Error("the model was replaced by its export")
		}
		ctx, cancel := context.WithCancel(context.Background())
		_, err := GGUF(ctx, f, path, format.F16, func(done, total int64) {
			if done > total/2 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
	}
	if list, err := os.ReadDir(filepath.Dir(path)); len(list) != 0 {
		t.Errorf("%v is left (%v)", list, err)
	}
}

func TestGGUFOntoAFolder(t *testing.T) {
	f := exported(t, false, Options{Bits: bits(t, "4-8-4")})
	_, err := GGUF(context.Background(), f, t.TempDir(), format.F16, func(done, _ int64) {
		if done < 100 { // its first rows
			t.Error("work has begun")
		}
	})
	if err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("%v, want an error that says that this is no file", err)
	}
}

// Floats that float16 does not hold are an error that says what does: --float is none of GGUF's.
func TestGGUFOfLargeFloats(t *testing.T) {
	m := tiny()
	m.change = map[string]map[int]float32{format.EmbedName: {7: 1e5}}
	path := filepath.Join(t.TempDir(), "m.qat")
	if err := Quantize(context.Background(), m, path, Options{Bits: bits(t, "16-16-16"), Float: qat.BFloat16}); err != nil {
		t.Fatal(err)
	}
	_, err := GGUF(context.Background(), open(t, path), filepath.Join(t.TempDir(), "m.gguf"), format.F16, nil)
	if err == nil || !strings.Contains(err.Error(), format.EmbedName) || !strings.Contains(err.Error(), "give --format hf with --float bf16") {
		t.Errorf("%v, want an error that names the tensor and the way out", err)
	}
}
