package gguf

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
)

// tinyConfig is the tests' model: every width is a whole number of blocks.
func tinyConfig(tied bool) *format.Config {
	return &format.Config{HiddenSize: 32, IntermediateSize: 64, NumHiddenLayers: 2, NumAttentionHeads: 2, NumKeyValueHeads: 1,
		HeadDim: 16, VocabSize: 6, MaxPositionEmbeddings: 16, RMSNormEps: 1e-5, RopeTheta: 10000,
		BOSTokenID: 1, EOSTokenIDs: []int{2}, TieWordEmbeddings: tied}
}

// tinyRows gives each tensor numbers of its own.
func tinyRows(c *format.Config) func(string) []float32 {
	return func(name string) []float32 {
		for i, s := range c.Tensors() {
			if s.Name == name {
				x := make([]float32, s.Out*max(s.In, 1))
				for j := range x {
					x[j] = float32(math.Sin(float64(i + j*j%977)))
				}
				return x
			}
		}
		panic(name)
	}
}

// tinyDraft is the model with a SentencePiece vocabulary.
func tinyDraft(d dtype, tied bool) *draft {
	c := tinyConfig(tied)
	g := draftOf(c, d, tinyRows(c))
	g.set("tokenizer.ggml.model", "llama")
	g.set("tokenizer.ggml.tokens", []string{"<unk>", "<s>", "</s>", "▁", "a", "▁a"})
	g.set("tokenizer.ggml.scores", []float32{0, 0, 0, -2, -3, -1})
	g.set("tokenizer.ggml.token_type", []int32{2, 3, 3, 1, 1, 1})
	return g
}

func TestChatTemplate(t *testing.T) {
	g := tinyDraft(typeF32, false)
	for _, c := range []struct {
		v    any
		want string
		ok   bool
	}{{nil, "", true}, {"{{ x }}", "{{ x }}", true}, {int32(1), "", false}, {"\xff", "", false}, {strings.Repeat("x", format.MaxChatTemplate+1), "", false}} {
		if c.v != nil {
			g.set("tokenizer.chat_template", c.v)
		}
		src, err := openBytes(t, g.write())
		if (err == nil) != c.ok {
			t.Errorf("%.20v: %v", c.v, err)
		}
		if c.ok && src.ChatTemplate() != c.want {
			t.Errorf("%.20v: %q", c.v, src.ChatTemplate())
		}
	}
}

func openBytes(t testing.TB, data []byte) (format.Source, error) {
	t.Helper()
	m, err := load(mapped.Memory("m.gguf", data), true)
	if err != nil {
		return nil, err
	}
	return m.Source(), nil
}

func mustOpen(t *testing.T, g *draft) format.Source {
	t.Helper()
	src, err := openBytes(t, g.write())
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestReadRows(t *testing.T) {
	types := map[dtype]format.DType{typeF32: format.F32, typeF16: format.F16, typeBF16: format.BF16, typeQ8_0: format.Q8, typeQ4_0: format.Q4}
	for d, want := range types {
		for _, tied := range []bool{true, false} {
			c := tinyConfig(tied)
			rows := tinyRows(c)
			g := tinyDraft(d, tied)
			if tied {
				g.version, g.alignment = 2, 64
				g.set("general.alignment", uint32(64))
			}
			src := mustOpen(t, g)
			for _, s := range c.Tensors() {
				stored := d
				if s.In == 0 {
					stored = typeF32
				} else if got := src.DType(s.Name); got != want {
					t.Errorf("%s is %s, want %s", s.Name, got, want)
				}
				expect := decoded(rows(s.Name), stored)
				in := max(s.In, 1)
				step := 1
				if s.In == 0 {
					step = s.Out
				}
				for row := 0; row < s.Out; row += step {
					got := make([]float32, in*step)
					if err := src.ReadRows(got, s.Name, row/step); err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(expect[row*in:(row+step)*in], got); diff != "" {
						t.Fatalf("%v: %s: row %d: want -, got +\n%s", d, s.Name, row, diff)
					}
				}
			}
		}
	}
}

func TestConfig(t *testing.T) {
	src := mustOpen(t, tinyDraft(typeF32, false))
	if diff := cmp.Diff(tinyConfig(false), src.Config()); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	for name, c := range map[string]struct {
		set  map[string]any
		want func(*format.Config)
	}{
		"defaults": {map[string]any{"llama.attention.key_length": nil, "llama.rope.dimension_count": nil, "llama.rope.freq_base": nil},
			func(c *format.Config) {}},
		"other integers": {map[string]any{"llama.block_count": uint64(2), "llama.context_length": uint16(16)}, func(c *format.Config) {}},
		"float64":        {map[string]any{"llama.rope.freq_base": float64(5e5)}, func(c *format.Config) { c.RopeTheta = 5e5 }},
		"linear": {map[string]any{"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": float32(2.5)},
			func(c *format.Config) { c.RopeScaling = &format.RopeScaling{Type: "linear", Factor: 2.5} }},
		"scale_linear": {map[string]any{"llama.rope.scale_linear": float32(4)},
			func(c *format.Config) { c.RopeScaling = &format.RopeScaling{Type: "linear", Factor: 4} }},
		"scaling none": {map[string]any{"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": float32(4)}, func(c *format.Config) {}},
		"more EOS": {map[string]any{"tokenizer.ggml.eot_token_id": uint32(4), "tokenizer.ggml.eom_token_id": uint32(2)},
			func(c *format.Config) { c.EOSTokenIDs = []int{2, 4} }},
		"no ids": {map[string]any{"tokenizer.ggml.bos_token_id": uint32(math.MaxUint32), "tokenizer.ggml.eos_token_id": int32(-1)},
			func(c *format.Config) { c.BOSTokenID, c.EOSTokenIDs = -1, nil }},
	} {
		g := tinyDraft(typeF32, false)
		for k, v := range c.set {
			g.set(k, v)
		}
		want := tinyConfig(false)
		c.want(want)
		if diff := cmp.Diff(want, mustOpen(t, g).Config()); diff != "" {
			t.Errorf("%s: want -, got +\n%s", name, diff)
		}
	}
}

// llama3Divisors are those of transformers' _compute_llama3_parameters, over float32.
func llama3Divisors(headDim int, theta, factor float64) []float32 {
	var out []float32
	for i := 0; i < headDim; i += 2 {
		freq := float64(float32(1 / math.Pow(theta, float64(i)/float64(headDim))))
		wavelen := 2 * math.Pi / freq
		switch {
		case wavelen < 8192/4.0:
			out = append(out, 1)
		case wavelen > 8192/1.0:
			out = append(out, float32(factor))
		default:
			smooth := (8192/wavelen - 1) / (4 - 1)
			out = append(out, float32(1/((1-smooth)/factor+smooth)))
		}
	}
	return out
}

func TestRopeFreqs(t *testing.T) {
	with := func(x []float32) *draft {
		g := tinyDraft(typeF32, true)
		g.set("llama.rope.freq_base", float32(500000))
		g.infos = append(g.infos, draftTensor{name: ropeFreqs, dims: []uint64{uint64(len(x))}, data: encode(x, typeF32)})
		return g
	}
	for _, factor := range []float64{8, 32} {
		x := llama3Divisors(16, 500000, factor)
		got := mustOpen(t, with(x)).Config().RopeScaling
		want := &format.RopeScaling{Type: "llama3", Factor: factor, LowFreqFactor: 1, HighFreqFactor: 4, OriginalMaxPositionEmbeddings: 8192}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("want -, got +\n%s", diff)
		}
	}
	if s := mustOpen(t, with([]float32{1, 1, 1, 1, 1, 1, 1, 1})).Config().RopeScaling; s != nil {
		t.Errorf("divisors of 1: %+v", *s)
	}
	for name, x := range map[string][]float32{
		"another rule": {1, 1, 1, 1, 1, 2, 4, 8},
		"all 2":        {2, 2, 2, 2, 2, 2, 2, 2},
		"too few":      {1, 1, 1, 8},
		"zero":         {1, 1, 1, 1, 1, 1, 1, 0},
		"NaN":          {1, 1, 1, 1, 1, 1, 1, float32(math.NaN())},
		"infinite":     {1, 1, 1, 1, 1, 1, 1, float32(math.Inf(1))},
	} {
		_, err := openBytes(t, with(x).write())
		refused(t, name, err, ropeFreqs)
	}
	g := with(llama3Divisors(16, 500000, 8))
	g.set("llama.rope.scaling.factor", float32(2))
	_, err := openBytes(t, g.write())
	refused(t, "two scalings", err, ropeFreqs)
}

func TestVocabularies(t *testing.T) {
	tok := mustOpen(t, tinyDraft(typeF32, true)).Tokenizer()
	if ids := tok.Encode("a"); len(ids) != 1 || ids[0] != 5 || !tok.AddBOS() || tok.BOS() != 1 || tok.EOS() != 2 {
		t.Errorf("SentencePiece: %d, %+v", ids, tok.Special())
	}
	g := tinyDraft(typeF32, true)
	g.set("tokenizer.ggml.add_space_prefix", false)
	g.set("tokenizer.ggml.add_bos_token", false)
	tok = mustOpen(t, g).Tokenizer()
	if ids := tok.Encode("a"); len(ids) != 1 || ids[0] != 4 || tok.AddBOS() {
		t.Errorf("no space before: %d, %+v", ids, tok.Special())
	}

	g = tinyDraft(typeF32, true)
	g.set("tokenizer.ggml.model", "gpt2")
	g.set("tokenizer.ggml.pre", "llama-bpe")
	g.set("tokenizer.ggml.tokens", []string{"a", "<s>", "</s>", "b", "ab", "Ġ"})
	g.set("tokenizer.ggml.token_type", []int32{1, 3, 3, 1, 1, 1})
	g.set("tokenizer.ggml.scores", nil)
	g.set("tokenizer.ggml.merges", []string{"a b"})
	tok = mustOpen(t, g).Tokenizer()
	if ids := tok.Encode("ab a"); len(ids) != 3 || ids[0] != 4 || ids[1] != 5 || ids[2] != 0 || !tok.AddBOS() {
		t.Errorf("byte-level: %d, %+v", ids, tok.Special())
	}

	g.set("tokenizer.ggml.model", nil)
	if tok := mustOpen(t, g).Tokenizer(); tok != nil {
		t.Errorf("no vocabulary: %+v", tok)
	}
}

func TestTokenizerPath(t *testing.T) {
	dir := t.TempDir()
	model, other := filepath.Join(dir, "m.gguf"), filepath.Join(dir, "tok.bin")
	g := tinyDraft(typeF32, true)
	g.set("tokenizer.ggml.model", "t5") // refused, but not asked
	if err := os.WriteFile(model, g.write(), 0o600); err != nil {
		t.Fatal(err)
	}
	b := binary.LittleEndian.AppendUint32(nil, 1)
	for _, c := range "abcdef" {
		b = append(binary.LittleEndian.AppendUint32(append(b, 0, 0, 0, 0), 1), byte(c))
	}
	if err := os.WriteFile(other, b, 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := Open(model, other)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if id, ok := src.Tokenizer().ID("f"); !ok || id != 5 {
		t.Errorf("f is %d, want 5", id)
	}
	if _, err := Open(model, ""); !errors.Is(err, format.ErrUnsupported) || !strings.Contains(err.Error(), "t5") {
		t.Errorf("tokenizer of T5: %v", err)
	}
}

func refused(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, format.ErrCorrupt) && !errors.Is(err, format.ErrUnsupported) {
		t.Errorf("%s: got %v", what, err)
		return
	}
	for _, w := range append(words, "m.gguf") {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q does not name %q", what, err, w)
		}
	}
}
