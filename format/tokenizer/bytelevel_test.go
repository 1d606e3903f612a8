package tokenizer

import (
	"errors"
	"strings"
	"testing"
)

func TestByteLevelEncode(t *testing.T) {
	for _, c := range []struct{ pre, text, want string }{
		{"gpt-2", "", ""},
		{"gpt-2", "ab abc", "ab|Ġab|c"},
		{"gpt-2", "xyz", "x|y|z"},
		{"llama-bpe", "xyz", "xyz"}, // a word that is a token, without merges
		{"smaug-bpe", "xyz", "x|y|z"},
		{"llama-bpe", "abc", "abc"},
		{"llama-bpe", "abcb", "abc|b"},
		{"llama-bpe", "\x00", "Ā"},
		{"llama-bpe", "\xff", "ï|¿|½"},
		{"llama-bpe", "<|begin_of_text|>", "<|||b|e|g|i|n|_|o|f|_|t|e|x|t|||>"},
		{"llama-bpe", "a<think>a", "a|<think>|a"},
	} {
		tok := smallByteLevel(t, c.pre)
		ids := tok.Encode(c.text)
		if got := tokens(tok, ids); got != c.want {
			t.Errorf("%s: Encode(%q) = %s, want %s", c.pre, c.text, got, c.want)
		}
		if got, want := tok.Decode(ids), strings.ToValidUTF8(c.text, "\ufffd"); got != want {
			t.Errorf("%s: Decode gives %q, want %q", c.pre, got, want)
		}
	}
	tok := smallByteLevel(t, "llama3")
	if got := tokens(tok, tok.EncodeSpecial("a<|begin_of_text|> ab")); got != "a|<|begin_of_text|>|Ġab" {
		t.Errorf("EncodeSpecial gives %s", got)
	}
	const text = "<|begin_of_text|>a<|begin_of_text|><think>"
	for first, want := range map[bool]string{true: "<|begin_of_text|>|a|<|||b|e|g|i|n|_|o|f|_|t|e|x|t|||>|<think>", false: "<|||b|e|g|i|n|_|o|f|_|t|e|x|t|||>|a|<|begin_of_text|>|<think>"} {
		if got := tokens(tok, tok.EncodeTrusted(text, func(i, j int) bool { return (i == 0) == first && text[i:j] == "<|begin_of_text|>" })); got != want {
			t.Errorf("EncodeTrusted, first %v, gives %s, want %s", first, got, want)
		}
	}
	if got, want := tokens(tok, tok.EncodeTrusted("\xff<|begin_of_text|>", func(int, int) bool { return true })), tokens(tok, tok.Encode("\xff<|begin_of_text|>")); got != want {
		t.Errorf("EncodeTrusted of what is not UTF-8 gives %s, want %s", got, want)
	}
	if got := tok.Decode(tok.EncodeSpecial("<|begin_of_text|> a")); got != " a" {
		t.Errorf("Decode gives %q: a byte-level text keeps its first space", got)
	}
}

func TestByteLevelFile(t *testing.T) {
	for _, pre := range []string{"", "gpt-2", "smollm", "llama-bpe", "llama3", "llama-v3", "falcon3", "smaug-bpe"} {
		for _, s := range []Special{{BOS: 263, EOS: -1, AddBOS: true}, {BOS: 263, EOS: 1}, {BOS: -1, EOS: -1}, {BOS: -1, EOS: 263}} {
			tok := smallByteLevel(t, pre).With(s)
			again := reparsed(t, tok)
			sameTokenizer(t, tok, again)
			changed := again.With(Special{BOS: 3, EOS: 4, AddBOS: true})
			sameTokenizer(t, changed, reparsed(t, changed))
		}
	}
}

func TestByteLevelRefused(t *testing.T) {
	none := Special{BOS: -1, EOS: -1}
	for _, c := range []struct {
		name   string
		tokens []Piece
		merges []string
		pre    string
		want   error
	}{
		{"pre", byteTokens(), nil, "deepseek-llm", ErrUnsupported},
		{"duplicate", byteTokens(Piece{Text: "a"}), nil, "", ErrCorrupt},
		{"empty token", byteTokens(Piece{}), nil, "", ErrCorrupt},
		{"not UTF-8", byteTokens(Piece{Text: "\xff"}), nil, "", ErrCorrupt},
		{"merge of one", byteTokens(), []string{"a"}, "", ErrCorrupt},
		{"merge of three", byteTokens(), []string{"a b c"}, "", ErrCorrupt},
		{"merge of unknown", byteTokens(Piece{Text: "ab"}), []string{"a b", "ab c"}, "", ErrCorrupt},
		{"long token", byteTokens(Piece{Text: strings.Repeat("a", maxPieceLen+1)}), nil, "", ErrCorrupt},
		{"kind 7", byteTokens(Piece{Text: "ab", Kind: 7}), nil, "", ErrCorrupt},
	} {
		if _, err := NewByteLevel(c.tokens, c.merges, c.pre, none); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
	// A vocabulary without some bytes, and without any token: what it cannot spell is dropped.
	tok := must(t)(NewByteLevel([]Piece{{Text: "a"}}, nil, "", none))
	if got := tok.Decode(tok.Encode("bab")); got != "a" {
		t.Errorf("got %q", got)
	}
	exercise(must(t)(NewByteLevel(nil, nil, "", none)), "a")
}
