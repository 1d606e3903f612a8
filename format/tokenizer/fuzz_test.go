package tokenizer

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/llmqat/llmqat/format/internal/damage"
)

func FuzzRoundTrip(f *testing.F) {
	for _, text := range sampleTexts {
		f.Add(text)
	}
	f.Add(strings.Repeat("ab", 500))
	f.Add("\xff\xf0\x9f")
	spm := smallSentencePiece(f)
	toks := []*Tokenizer{spm, smallByteLevel(f, "gpt-2"), smallByteLevel(f, "smollm"), smallByteLevel(f, "llama3")}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range toks {
			want := string([]rune(text))
			if tok == spm {
				want = strings.ReplaceAll(want, spaceSymbol, " ") // SentencePiece's own spelling of a space
			}
			ids := tok.Encode(text)
			if got := tok.Decode(ids); got != want {
				t.Errorf("Decode(Encode(%q)) = %q", text, got)
			}
			for _, id := range ids {
				if tok.IsSpecial(id) {
					t.Errorf("plain text %q became %s", text, tok.Token(id))
				}
			}
			if got := tok.Decode(tok.EncodeSpecial(text)); !utf8.ValidString(got) {
				t.Errorf("EncodeSpecial(%q) decodes to %q", text, got)
			}
		}
	})
}

func FuzzParseSentencePiece(f *testing.F) {
	for _, tok := range []*Tokenizer{smallSentencePiece(f), must(f)(NewSentencePiece(smallPieces(false, "▁", "a"), Normalizer{RemoveExtra: true}, smallSpecial))} {
		_, data := tok.File()
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if tok, err := ParseSentencePiece(data); err == nil {
			exercise(tok, "ab é<s>")
			sameTokenizer(t, tok.With(Special{BOS: 0, EOS: -1}), reparsed(t, tok.With(Special{BOS: 0, EOS: -1})))
		}
	})
}

func FuzzParseLlama2C(f *testing.F) {
	pieces := smallPieces(false, "▁", "ab", "a", "b")
	f.Add(writeLlama2C(pieces), len(pieces))
	f.Fuzz(func(t *testing.T, data []byte, vocab int) {
		if tok, err := ParseLlama2C(data, vocab); err == nil {
			exercise(tok, "ab é<s>")
			sameTokenizer(t, tok, reparsed(t, tok))
		}
	})
}

func FuzzParseHF(f *testing.F) {
	for _, pre := range []string{"gpt-2", "smollm", "llama3"} {
		_, data := smallByteLevel(f, pre).File()
		f.Add(data)
	}
	f.Add([]byte(llama2JSON))
	f.Add([]byte(metaspaceJSON))
	f.Fuzz(func(t *testing.T, data []byte) {
		if tok, err := ParseHF(data); err == nil {
			exercise(tok, "ab é<s>")
			tok = tok.With(Special{BOS: 0, EOS: -1})
			sameTokenizer(t, tok, reparsed(t, tok))
		}
	})
}

// Files with random damage, of every kind.
func TestMutations(t *testing.T) {
	file := func(tok *Tokenizer) []byte { _, data := tok.File(); return data }
	pieces := smallPieces(false, "▁", "ab", "a", "b")
	for name, c := range map[string]struct {
		good  [][]byte
		parse func([]byte) (*Tokenizer, error)
	}{
		"tokenizer.model": {[][]byte{file(smallSentencePiece(t))}, ParseSentencePiece},
		"tokenizer.json":  {[][]byte{file(smallByteLevel(t, "gpt-2")), file(smallByteLevel(t, "llama3")), []byte(llama2JSON), []byte(metaspaceJSON)}, ParseHF},
		"tokenizer.bin": {[][]byte{writeLlama2C(pieces)},
			func(b []byte) (*Tokenizer, error) { return ParseLlama2C(b, len(pieces)) }},
	} {
		t.Run(name, func(t *testing.T) {
			damage.Each(t, 1000, 100, c.good, func(b []byte) error {
				tok, err := c.parse(b)
				if err == nil {
					exercise(tok, "ab é<s>")
				}
				return err
			}, ErrCorrupt, ErrUnsupported)
		})
	}
}
