package tokenizer

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// testdata reads a file of the shared test data, and skips the test without them.
func testdata(t testing.TB, path string) []byte {
	t.Helper()
	dir := os.Getenv("LLMQAT_TESTDATA")
	if dir == "" {
		t.Skip("LLMQAT_TESTDATA is not set")
	}
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(path)))
	if os.IsNotExist(err) {
		t.Skipf("LLMQAT_TESTDATA: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func must(t testing.TB) func(*Tokenizer, error) *Tokenizer {
	return func(tok *Tokenizer, err error) *Tokenizer {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
}

// The vectors are llama.cpp's: one line of ids for each input, without BOS.
func TestVectors(t *testing.T) {
	for _, c := range []struct{ file, vectors string }{
		{"tok/llama2.tokenizer.model", "tok/ggml-vocab-llama-spm.gguf"},
		{"tok/llama3.tokenizer.json", "tok/ggml-vocab-llama-bpe.gguf"},
	} {
		t.Run(filepath.Base(c.file), func(t *testing.T) {
			_, kind, _ := strings.Cut(filepath.Base(c.file), ".")
			tok := must(t)(Parse(kind, testdata(t, c.file)))
			const end = "\n__ggml_vocab_test__\n" // after every input
			inputs := strings.Split(strings.TrimSuffix(string(testdata(t, c.vectors+".inp")), end), end)
			lines := strings.Split(strings.TrimSuffix(string(testdata(t, c.vectors+".out")), "\n"), "\n")
			if len(inputs) != len(lines) {
				t.Fatalf("%d inputs, %d lines of ids", len(inputs), len(lines))
			}
			for i, text := range inputs {
				var want []int32
				for _, f := range strings.Fields(lines[i]) {
					id, err := strconv.Atoi(f)
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, int32(id))
				}
				if diff := cmp.Diff(want, tok.Encode(text), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("Encode(%.60q), -want +got:\n%s", text, diff)
				}
				if got := tok.Decode(want); got != text {
					t.Errorf("Decode gives\n%q, want\n%q", got, text)
				}
			}
		})
	}
}

// The same vocabulary as tokenizer.bin and as tokenizer.model must give the same ids, and the text back.
func TestLlama2CAgreesWithSentencePiece(t *testing.T) {
	for _, c := range []struct {
		bin, model string
		vocab      int
	}{
		{"models/tok512.bin", "hf/stories260K/tokenizer.model", 512},
		{"models/tok4096.bin", "hf/stories3M/tokenizer.model", 4096},
	} {
		t.Run(filepath.Base(c.bin), func(t *testing.T) {
			a := must(t)(ParseLlama2C(testdata(t, c.bin), c.vocab))
			b := must(t)(ParseSentencePiece(testdata(t, c.model)))
			sameTokenizer(t, a, b)
			text := string(testdata(t, "text/tinystories.txt"))
			ids := a.Encode(text)
			if !cmp.Equal(ids, b.Encode(text)) {
				t.Error("the two encode tinystories.txt differently")
			}
			if a.Decode(ids) != text {
				t.Error("tinystories.txt does not come back")
			}
			if a.BOS() != 1 || a.EOS() != 2 || a.UNK() != 0 || !a.AddBOS() {
				t.Errorf("special ids %+v, unk %d", a.Special(), a.UNK())
			}
		})
	}
}

func TestByteLevelFilesRoundTrip(t *testing.T) {
	wiki := string(testdata(t, "text/wiki.test.raw"))
	for _, c := range []struct {
		file     string
		vocab    int
		bos, eos string
		addBOS   bool
	}{
		{"tok/minimind/tokenizer.json", 6400, "<|im_start|>", "<|im_end|>", false},
		{"tok/llama3.tokenizer.json", 128256, "<|begin_of_text|>", "<|end_of_text|>", true},
	} {
		t.Run(c.file, func(t *testing.T) {
			tok := must(t)(ParseHF(testdata(t, c.file)))
			if got := tok.Decode(tok.Encode(wiki)); got != wiki {
				t.Error("wiki.test.raw does not come back")
			}
			if tok.VocabSize() != c.vocab {
				t.Errorf("vocabulary of %d, want %d", tok.VocabSize(), c.vocab)
			}
			if tok.Token(tok.BOS()) != c.bos || tok.Token(tok.EOS()) != c.eos || tok.AddBOS() != c.addBOS {
				t.Errorf("BOS %q, EOS %q, AddBOS %t", tok.Token(tok.BOS()), tok.Token(tok.EOS()), tok.AddBOS())
			}
			bos := []int32{tok.BOS()}
			if got := tok.EncodeSpecial(c.bos); !cmp.Equal(got, bos) {
				t.Errorf("EncodeSpecial(%q) = %d, want %d", c.bos, got, bos)
			}
			if got := tok.Encode(c.bos); len(got) < 2 || tok.Decode(got) != c.bos {
				t.Errorf("Encode(%q) = %d, want its characters", c.bos, got)
			}
		})
	}
}

// Cutting a text into words before merging must not change its ids.
func TestWordsMergeAlone(t *testing.T) {
	tok := must(t)(ParseSentencePiece(testdata(t, "tok/llama2.tokenizer.model")))
	text := string(testdata(t, "text/wiki.test.raw"))[:200_000]
	m := tok.model.(*spaceBPE)
	if !m.byWord {
		t.Fatal("LLaMA's pieces do not cross words, yet byWord is false")
	}
	whole := *m
	whole.byWord = false
	if !cmp.Equal(m.encode(nil, text, true), whole.encode(nil, text, true)) {
		t.Error("word by word and as a whole the ids differ")
	}
}

// A vocabulary handed over as plain values, as GGUF has it, is the tokenizer of the file, and so is its File.
func TestFromValuesAgreesWithFile(t *testing.T) {
	text := string(testdata(t, "text/wiki.test.raw"))[:100_000]
	check := func(t *testing.T, file, values *Tokenizer) {
		t.Helper()
		again := reparsed(t, values)
		for _, tok := range []*Tokenizer{values, again} {
			sameTokenizer(t, file, tok)
			if !cmp.Equal(file.Encode(text), tok.Encode(text)) {
				t.Error("wiki.test.raw has other ids")
			}
		}
	}
	t.Run("sentencepiece", func(t *testing.T) {
		file := must(t)(ParseSentencePiece(testdata(t, "tok/llama2.tokenizer.model")))
		check(t, file, must(t)(NewSentencePiece(file.pieces, llamaNormalizer, file.Special())))
	})
	t.Run("byte-level", func(t *testing.T) {
		file := must(t)(ParseHF(testdata(t, "tok/llama3.tokenizer.json")))
		merges := file.model.(*byteLevel).merges
		check(t, file, must(t)(NewByteLevel(file.pieces, merges, "llama-bpe", file.Special())))
	})
}
