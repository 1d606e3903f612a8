package eval

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/hf"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/format/tokens"
	"github.com/llmqat/llmqat/kernels/quant"
)

// letters is a tokenizer that gives each byte a token, more or less, and BOS as asked.
func letters(t *testing.T, bos bool) *tokenizer.Tokenizer {
	t.Helper()
	c := tiny()
	c.VocabSize, c.EOSTokenIDs = 360, []int{2}
	path := filepath.Join(t.TempDir(), "m.qat")
	if err := convert.Synth(context.Background(), c, path, convert.Options{Bits: quant.Bits{W: 4, A: 8, KV: 4}}); err != nil {
		t.Fatal(err)
	}
	f, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return f.Header().Tokenizer.With(tokenizer.Special{BOS: 1, EOS: 2, AddBOS: bos})
}

// What is no text is named with the place where that shows; U+FFFD is text.
func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "text")
	for text, want := range map[string]string{
		"":                     "",
		"día \ufffd 日本\x00":    "",
		"d\xeda":               path + ": byte 1 is 0xed, want text in UTF-8",
		"\ufffd, \xef\xbf":     path + ": byte 5 is 0xef",
		"ends early: \xe6\x97": path + ": byte 12 is 0xe6",
	} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := ReadFile(path)
		if want == "" && (err != nil || got != text) || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%q: %q, error %v, want one that begins with %q", text, got, err, want)
		}
	}
}

func TestWikiText(t *testing.T) {
	raw := " \n = Title = \n \n One . \n Two . \n"
	want := "\n\n = Title = \n\n\n\n\n One . \n\n\n Two . \n"
	for _, raw := range []string{raw, strings.ReplaceAll(raw, "\n", "\r\n")} {
		if got := WikiText(raw); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestCut(t *testing.T) {
	const text = "abc def ghi jkl"
	for _, bos := range []bool{true, false} {
		tok := letters(t, bos)
		all := tok.Encode(text)
		if bos {
			all = append([]int32{1}, all...)
		}
		got, err := Cut(tok, text, 4)
		if err != nil {
			t.Fatal(err)
		}
		if joined := slices.Concat(got.Windows...); got.Dropped != len(all)%4 || !slices.Equal(joined, all[:len(all)-got.Dropped]) || got.Length != 4 || len(got.Windows[0]) != 4 {
			t.Errorf("BOS %v: %+v, want windows of 4 of %v", bos, got, all)
		}
		if strings.Contains(got.Is, "without BOS") == bos {
			t.Errorf("BOS %v: %q", bos, got.Is)
		}
	}
	if _, err := Cut(letters(t, true), text, 100); err == nil || !strings.Contains(err.Error(), "fill no window of 100") {
		t.Errorf("a text that is too short: %v", err)
	}
}

func TestDocuments(t *testing.T) {
	tok := letters(t, true)
	got, err := Documents(tok, []string{"ab", "", "cdefghij"}, 5)
	if err != nil {
		t.Fatal(err)
	}
	first, last := append([]int32{1}, tok.Encode("ab")...), append([]int32{1}, tok.Encode("cdefghij")...)
	if want := [][]int32{first, last[:5]}; !reflect.DeepEqual(got.Windows, want) || got.Dropped != len(last)-5 {
		t.Errorf("%+v, want %v", got, want)
	}
	if _, err := Documents(tok, []string{"", ""}, 5); err == nil {
		t.Error("no documents: no error")
	}
}

func TestShards(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shard-00000-of-00001.jsonl")
	sum := "sha256:" + strings.Repeat("0", 64)
	w, err := tokens.Append(path, tokens.Header{
		Method: tokens.MethodText, Teacher: "noise", TeacherSHA256: sum, VocabSize: 90, BOS: -1, MaxTokens: 9, Samples: 2, Shards: 1, Text: &tokens.Text{SHA256: sum},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := w.Write(&tokens.Sample{Index: int64(i), IDs: []int32{9, 8, 7, 6, 5, 4, 3, 2, 1}[2*i:]}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := Shards([]string{path}, 90, 4)
	if want := [][]int32{{9, 8, 7, 6}, {5, 4, 3, 2}, {7, 6, 5, 4}, {3, 2, 1}}; err != nil || !reflect.DeepEqual(got.Windows, want) || got.Dropped != 1 {
		t.Errorf("%+v, %v, want %v", got, err, want)
	}
	if _, err := Shards([]string{path}, 91, 4); err == nil || !strings.Contains(err.Error(), "vocabulary of 90, the model has 91") {
		t.Errorf("another vocabulary: %v", err)
	}
}

// GPTQ's WikiText-2 has 341,469 tokens of LLaMA's in 4,358 rows. The file at hand is
// without blank lines; those around headings make 4,307 rows, and each of the others
// would be two line ends more, a token each.
func TestWikiTextIsGPTQs(t *testing.T) {
	dir := os.Getenv("LLMQAT_TESTDATA")
	if dir == "" {
		t.Skip("LLMQAT_TESTDATA is not set: no text")
	}
	raw, err := ReadFile(filepath.Join(dir, "text", "wiki.test.raw"))
	if err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile(filepath.Join(dir, "tok", "llama2.tokenizer.model"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := tokenizer.ParseSentencePiece(model)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(raw, "\r", "")) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, " = ") {
			line = " \n" + line + "\n "
		}
		if line != "" {
			b.WriteString(line + "\n")
		}
	}
	text := b.String()
	got, err := Cut(tok, WikiText(text), 2048)
	if err != nil {
		t.Fatal(err)
	}
	n := 2048*len(got.Windows) + got.Dropped + 2*(4358-strings.Count(text, "\n"))
	if n != 341469 || len(got.Windows) != 166 {
		t.Errorf("%d tokens and %d windows, want 341469 and 166", n, len(got.Windows))
	}
}

// Perplexities of stories260K, rounded to nearest, which an independent implementation
// gives on the same text: 60 pieces of 900 characters, cut off at 256 tokens.
func TestKnownPerplexities(t *testing.T) {
	dir := os.Getenv("LLMQAT_TESTDATA")
	if dir == "" {
		t.Skip("LLMQAT_TESTDATA is not set: no trained models")
	}
	raw, err := ReadFile(filepath.Join(dir, "text", "tinystories.txt"))
	if err != nil {
		t.Fatal(err)
	}
	characters := []rune(raw)
	var pieces []string
	for i := range 60 {
		pieces = append(pieces, string(characters[900*i:900*(i+1)]))
	}
	src, err := hf.Open(filepath.Join(dir, "hf", "stories260K"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	quantized := func(bits string, scheme quant.KVScheme) *qat.File {
		b, err := quant.ParseBits(bits)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "m.qat")
		if err := convert.Quantize(context.Background(), src, path, convert.Options{Bits: b, KVScheme: scheme, LMHeadBits: 16, Float: qat.Float32}); err != nil {
			t.Fatal(err)
		}
		f, err := qat.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	teacher := quantized("16-16-16", quant.KVHeadZP)
	text, err := Documents(teacher.Header().Tokenizer, pieces, 256)
	if err != nil {
		t.Fatal(err)
	}
	dev := device(t, 0)
	for _, c := range []struct {
		bits   string
		scheme quant.KVScheme
		ppl    float64
	}{
		{"8-8-8", quant.KVHeadZP, 4.54}, {"4-8-8", quant.KVHeadZP, 5.37},
		{"4-8-4", quant.KVToken, 23.3}, {"4-8-4", quant.KVHead, 15.6}, {"4-8-4", quant.KVHeadZP, 8.5},
	} {
		t.Run(fmt.Sprint(c.bits, c.scheme), func(t *testing.T) {
			r, err := Compare(context.Background(), dev, quantized(c.bits, c.scheme), teacher, text.Windows, Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("perplexity %.4f, teacher's %.4f, KL %.4f, top 1 %.3f, %d tokens", r.Perplexity.Value, r.TeacherPerplexity.Value, r.KL.Value, r.Top1.Value, r.Tokens)
			for _, v := range [][2]float64{{r.Perplexity.Value, c.ppl}, {r.TeacherPerplexity.Value, 4.51}} {
				if math.Abs(v[0]/v[1]-1) > 0.02 {
					t.Errorf("perplexity %.4f, want %v within 2 %%", v[0], v[1])
				}
			}
		})
	}
}

func TestDivided(t *testing.T) {
	for text, want := range map[string][]string{
		"a\n--\nb\n\nc--\n": {"a", "b\n\nc--"}, "--\n\na\n--\n--\nb": {"", "a", "", "b"}, "a\r\n--\r\nb\r\nc\r\n": {"a", "b\r\nc"}, "a\n--": {"a", ""},
	} {
		if got, err := Divided(text, "--"); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q (%v)", text, got, want, err)
		}
	}
	for _, text := range []string{"", "a", "a\n-- \nb\n---\n"} {
		if got, err := Divided(text, "--"); err == nil || !strings.Contains(err.Error(), `"--"`) {
			t.Errorf("%q: %q (%v)", text, got, err)
		}
	}
}
