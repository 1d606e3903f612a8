package tokenizer

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// A tokenizer made again of its vocabulary cuts texts as before.
func TestVocabulary(t *testing.T) {
	again := func(t *testing.T, tok *Tokenizer) *Tokenizer {
		t.Helper()
		v, err := tok.Vocabulary()
		if err != nil {
			t.Fatal(err)
		}
		if v.ByteLevel {
			return must(t)(NewByteLevel(v.Pieces, v.Merges, v.Pre, tok.Special()))
		}
		return must(t)(NewSentencePiece(v.Pieces, v.Normalizer, tok.Special()))
	}
	texts := []string{"", " ", "ab ab", "é", "xyab", "Hello, world's\n\n 42 ", "  a  b"}
	same := func(t *testing.T, tok *Tokenizer) {
		t.Helper()
		u := again(t, tok)
		for _, text := range texts {
			if got, want := u.Encode(text), tok.Encode(text); !slices.Equal(got, want) {
				t.Errorf("%q is %v, want %v", text, got, want)
			}
		}
	}
	same(t, must(t)(ParseHF([]byte(llama2JSON))))
	for _, file := range []string{"tok/llama2.tokenizer.model", "tok/llama3.tokenizer.json", "tok/minimind/tokenizer.json"} {
		t.Run(file, func(t *testing.T) {
			name := file[strings.Index(file, "tokenizer."):]
			same(t, must(t)(Parse(name, testdata(t, file))))
		})
	}
	spaces := must(t)(ParseHF([]byte(llama2JSON)))
	spaces.model.(*spaceBPE).normalizer.space = " "
	if _, err := spaces.Vocabulary(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a vocabulary that GGUF cannot hold: %v", err)
	}
}

// A tokenizer.json without a post-processor gets one for Hugging Face's libraries, which says that BOS is added.
func TestHFSaysBOS(t *testing.T) {
	a := strings.Index(llama2JSON, `"post_processor"`)
	b := strings.Index(llama2JSON, `"decoder"`)
	tok := must(t)(ParseHF([]byte(llama2JSON[:a] + llama2JSON[b:])))
	if !tok.AddBOS() {
		t.Fatal("BOS is not added")
	}
	name, data := tok.HF()
	if name != jsonName || !strings.Contains(string(data), "TemplateProcessing") {
		t.Errorf("%s has no template: %s", name, data)
	}
	if got := must(t)(ParseHF(data)).Special(); got != tok.Special() {
		t.Errorf("read back as %+v, want %+v", got, tok.Special())
	}
}
