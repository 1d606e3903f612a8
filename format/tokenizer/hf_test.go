package tokenizer

import (
	"errors"
	"strings"
	"testing"
)

// llama2JSON is Llama 2's tokenizer.json with fewer tokens.
const llama2JSON = `{"version": "1.0", "truncation": null, "padding": null,
"added_tokens": [
	{"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
	{"id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
	{"id": 2, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
"pre_tokenizer": null,
"post_processor": {"type": "TemplateProcessing",
	"single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
	"pair": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<s>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
	"special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
"decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
"model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true,
	"vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "<0xC3>": 3, "<0xA9>": 4, "▁": 5, "a": 6, "b": 7, "ab": 8, "▁ab": 9, "▁▁": 10},
	"merges": ["▁ ▁", "a b", "▁ ab"]}}`

// metaspaceJSON is the same as newer versions write it.
var metaspaceJSON = replaced(llama2JSON,
	`{"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}`, `null`,
	`"pre_tokenizer": null`, `"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false}`,
	`["▁ ▁", "a b", "▁ ab"]`, `[["▁", "▁"], ["a", "b"], ["▁", "ab"]]`)

// replaced is strings.Replace for pairs of strings, each of which must be there.
func replaced(s string, oldnew ...string) string {
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(s, oldnew[i]) {
			panic(oldnew[i] + " is not in the text")
		}
		s = strings.ReplaceAll(s, oldnew[i], oldnew[i+1])
	}
	return s
}

func TestHFLlama2(t *testing.T) {
	for _, c := range []struct{ name, file, afterSpecial string }{
		{"Prepend", llama2JSON, "▁ab|</s>|▁|b|</s>"},
		{"Metaspace", metaspaceJSON, "▁ab|</s>|b|</s>"}, // prepend_scheme first
	} {
		t.Run(c.name, func(t *testing.T) {
			tok := must(t)(ParseHF([]byte(c.file)))
			for _, e := range []struct{ text, want string }{
				{"", ""}, {" ", "▁▁"}, {"ab ab", "▁ab|▁ab"}, {"é", "▁|<0xC3>|<0xA9>"},
				{"ö", "▁|<unk>"}, // <0xB6> is missing: not half a character
				{"xyab", "▁|<unk>|ab"},
				{"<s>", "▁|<unk>"},
			} {
				if got := tokens(tok, tok.Encode(e.text)); got != e.want {
					t.Errorf("Encode(%q) = %s, want %s", e.text, got, e.want)
				}
			}
			if got := tokens(tok, tok.EncodeSpecial("ab</s>b</s>")); got != c.afterSpecial {
				t.Errorf("after a special token %s, want %s", got, c.afterSpecial)
			}
			if got := tok.Decode(tok.Encode(" ab é")); got != " ab é" {
				t.Errorf("Decode gives %q", got)
			}
			if tok.BOS() != 1 || tok.EOS() != 2 || tok.UNK() != 0 || !tok.AddBOS() {
				t.Errorf("%+v, unk %d", tok.Special(), tok.UNK())
			}
			for _, s := range []Special{{BOS: 1, EOS: 2}, {BOS: 2, EOS: -1, AddBOS: true}, {BOS: -1, EOS: 9}} {
				sameTokenizer(t, tok.With(s), reparsed(t, tok.With(s)))
			}
		})
	}
}

func TestHFSpecial(t *testing.T) {
	byteLevel := func(post string) string {
		return `{"added_tokens": [{"id": 1, "content": "<|begin_of_text|>", "special": true}], "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
			"post_processor": ` + post + `, "model": {"vocab": {"a": 0}, "merges": []}}`
	}
	for _, c := range []struct {
		post string
		want Special
	}{
		{`null`, Special{BOS: 1, EOS: -1, AddBOS: true}},
		{`{"type": "ByteLevel"}`, Special{BOS: 1, EOS: -1}},
		{`{"type": "Sequence", "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|begin_of_text|>"}}, {"Sequence": {"id": "A"}}]}]}`,
			Special{BOS: 1, EOS: -1, AddBOS: true}},
		{`{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x"}}, {}], "special_tokens": {"x": {"ids": [99]}}}`, Special{BOS: -1, EOS: -1}},
		{`{"type": "TemplateProcessing"}`, Special{BOS: -1, EOS: -1}},
	} {
		tok := must(t)(ParseHF([]byte(byteLevel(c.post))))
		if tok.Special() != c.want {
			t.Errorf("%s: %+v, want %+v", c.post, tok.Special(), c.want)
		}
	}
}

func TestHFAddedTokens(t *testing.T) {
	tok := must(t)(ParseHF([]byte(`{"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
		"added_tokens": [{"id": 5, "content": "<l>", "lstrip": true}, {"id": 6, "content": "<r>", "rstrip": true},
			{"id": 7, "content": "ab", "single_word": true}, {"id": 8, "content": "<r>a", "special": true}],
		"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "Ġ": 2, "<": 3}, "merges": []}}`)))
	for _, c := range []struct{ text, plain, special string }{
		{"a  <l> a", "a|<l>|Ġ|a", "a|<l>|Ġ|a"},
		{"a <r>  a", "a|Ġ|<r>|a", "a|Ġ|<r>|a"},
		{"<r>a", "<r>|a", "<r>a"}, // the longest, which plain text cannot be
		{"ab", "ab", "ab"},
		{"ab a", "ab|Ġ|a", "ab|Ġ|a"},
		{"aba", "a|b|a", "a|b|a"},
		{"<ab<", "<|ab|<", "<|ab|<"},
	} {
		if got := tokens(tok, tok.Encode(c.text)); got != c.plain {
			t.Errorf("Encode(%q) = %s, want %s", c.text, got, c.plain)
		}
		if got := tokens(tok, tok.EncodeSpecial(c.text)); got != c.special {
			t.Errorf("EncodeSpecial(%q) = %s, want %s", c.text, got, c.special)
		}
	}
	if tok.VocabSize() != 9 || tok.Token(4) != "" || tok.Piece(4) != nil {
		t.Errorf("the id without a token: vocabulary %d, %q, %q", tok.VocabSize(), tok.Token(4), tok.Piece(4))
	}
}

// What is not implemented is refused by its name.
func TestHFRefused(t *testing.T) {
	_, data := smallByteLevel(t, "llama3").File()
	l3 := string(data)
	const bl = `{"add_prefix_space":false,"trim_offsets":true,"type":"ByteLevel","use_regex":false}`
	for _, c := range []struct {
		file, names string
		want        error
	}{
		{``, "", ErrCorrupt},
		{`[]`, "", ErrCorrupt},
		{`{}`, "vocab", ErrCorrupt},
		{strings.Repeat(`{"normalizer":`, 1_000_000), "", ErrCorrupt},
		{`{"normalizer": ` + strings.Repeat(`{"type":"Sequence","normalizers":[`, 100_000), "", ErrCorrupt},
		{`{"normalizer": ` + strings.Repeat(`{"type":"Sequence","normalizers":[`, 4000) + strings.Repeat("{},", 100_000) + "{}" +
			strings.Repeat("]}", 4000) + "}", "normalizer", ErrUnsupported}, // the steps were copied once a level
		{replaced(l3, `"type":"BPE"`, `"type":"Unigram"`), "Unigram", ErrUnsupported},
		{replaced(l3, `"dropout":null`, `"dropout":0.1`), "dropout", ErrUnsupported},
		{replaced(l3, `"end_of_word_suffix":null`, `"end_of_word_suffix":"</w>"`), "</w>", ErrUnsupported},
		{replaced(l3, `"normalizer":null`, `"normalizer":{"type":"NFC"}`), "NFC", ErrUnsupported},
		{replaced(l3, `{1,3}`, `{1,2}`), "{1,2}", ErrUnsupported},
		{replaced(l3, `Isolated`, `Removed`), "Removed", ErrUnsupported},
		{replaced(l3, `"type":"Split"`, `"type":"Whitespace"`), "Whitespace", ErrUnsupported},
		{replaced(l3, bl, bl+`,{"type":"Digits"}`), "Digits", ErrUnsupported},
		{replaced(l3, `"use_regex":false`, `"use_regex":true`), "Split", ErrUnsupported},
		{replaced(l3, `"add_prefix_space":false`, `"add_prefix_space":true`), "add_prefix_space", ErrUnsupported},
		{replaced(l3, `"ab c"`, `"ab d"`), "ab d", ErrCorrupt},
		{replaced(l3, `"ab c"`, `"abc"`), "merge", ErrCorrupt},
		{replaced(l3, `"ab c"`, `["ab", "c"]`), "", ErrCorrupt}, // a mixture of both forms
		{replaced(l3, `"abc":259`, `"abc":258`), "258", ErrCorrupt},
		{replaced(l3, `"abc":259`, `"abc":-1`), "-1", ErrCorrupt},
		{replaced(l3, `"abc":259`, `"abc":4000000`), "4000000", ErrCorrupt},
		{replaced(l3, `"abc":259`, `"abc":9223372036854775808`), "", ErrCorrupt},
		{replaced(l3, `"id":264`, `"id":4294967296`), "4294967296", ErrCorrupt},
		{replaced(l3, `"id":264`, `"id":0`), "<think>", ErrCorrupt},
		{replaced(llama2JSON, `"▁ab": 9`, `"`+strings.Repeat("a", maxPieceLen+1)+`": 9`, `, "▁ ab"`, ``), "65537 bytes", ErrCorrupt},
		{replaced(llama2JSON, `"type": "Prepend"`, `"type": "Lowercase"`), "Lowercase", ErrUnsupported},
		{replaced(llama2JSON, `"pre_tokenizer": null`, `"pre_tokenizer": {"type": "BertPreTokenizer"}`), "BertPreTokenizer", ErrUnsupported},
		{replaced(metaspaceJSON, `"split": false`, `"split": true`), "split", ErrUnsupported},
		{replaced(metaspaceJSON, `"prepend_scheme": "first"`, `"prepend_scheme": "last"`), "last", ErrUnsupported},
		{replaced(metaspaceJSON, `["a", "b"]`, `["a", "b", "c"]`), "3 parts", ErrCorrupt},
		{`{"model": {"vocab": {"a": 0}, "merges": []}}`, "spaces", ErrUnsupported},
	} {
		_, err := ParseHF([]byte(c.file))
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%.60s: error %v, want %v and %q", c.file, err, c.want, c.names)
		}
	}
}

func TestParseByName(t *testing.T) {
	if _, err := Parse("m/tokenizer.json", []byte(llama2JSON)); err != nil {
		t.Error(err)
	}
	if _, err := Parse("vocab.txt", nil); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "vocab.txt") {
		t.Errorf("vocab.txt: %v", err)
	}
}
