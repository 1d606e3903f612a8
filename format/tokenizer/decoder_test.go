package tokenizer

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// stream decodes ids one by one and fails if a part is not whole UTF-8.
func stream(t interface{ Fatalf(string, ...any) }, d *Decoder, ids []int32) string {
	var text strings.Builder
	for _, id := range ids {
		s := d.Push(id)
		if !utf8.ValidString(s) {
			t.Fatalf("Push(%d) = %q: not whole UTF-8", id, s)
		}
		text.WriteString(s)
	}
	text.WriteString(d.Flush())
	return text.String()
}

func TestDecoderHoldsBackIncompleteBytes(t *testing.T) {
	tok := smallSentencePiece(t)
	d := tok.NewDecoder(AtStart)
	id := func(token string) int32 {
		id, ok := tok.ID(token)
		if !ok {
			t.Fatalf("no token %q", token)
		}
		return id
	}
	for _, step := range []struct{ token, want string }{
		{"<s>", ""},
		{"▁ab", "ab"}, // the dummy prefix, though <s> stands before it
		{"▁ab", " ab"},
		{"<0xF0>", ""}, {"<0x9F>", ""}, {"<s>", ""}, {"<0xA6>", ""}, {"<0x99>", "🦙"},
		{"<0xF0>", ""}, {"<0x9F>", ""}, {"a", "\ufffd\ufffda"},
		{"<0x80>", "\ufffd"},
		{"<0xFF>", "\ufffd"},
		{"<0xC3>", ""}, {"<0xC3>", "\ufffd"}, {"<0xA9>", "é"},
		{"<0xE2>", ""},
	} {
		if got := d.Push(id(step.token)); got != step.want {
			t.Fatalf("Push(%s) = %q, want %q", step.token, got, step.want)
		}
	}
	if got := d.Flush(); got != "\ufffd" {
		t.Errorf("Flush = %q", got)
	}
	if got := d.Flush(); got != "" {
		t.Errorf("second Flush = %q", got)
	}
}

func TestDecoderAfterPrompt(t *testing.T) {
	tok := smallSentencePiece(t)
	ids := tok.Encode("ab")
	if got := stream(t, tok.NewDecoder(AfterPrompt), ids); got != " ab" {
		t.Errorf("after a prompt %q", got)
	}
	if got := stream(t, tok.NewDecoder(AtStart), ids); got != "ab" {
		t.Errorf("at the start %q", got)
	}
	// The prompt's text and what follows it make up the whole text.
	ids = tok.Encode("ab ab 日本 c")
	for n := 1; n < len(ids); n++ {
		if utf8.Valid(tok.Piece(ids[n])) && utf8.Valid(tok.Piece(ids[n-1])) {
			if got := tok.Decode(ids[:n]) + stream(t, tok.NewDecoder(AfterPrompt), ids[n:]); got != "ab ab 日本 c" {
				t.Errorf("cut at %d: %q", n, got)
			}
		}
	}
}

func TestDecoderAgreesWithDecode(t *testing.T) {
	for _, tok := range []*Tokenizer{smallSentencePiece(t), smallByteLevel(t, "llama3")} {
		rapid.Check(t, func(r *rapid.T) {
			ids := rapid.SliceOf(rapid.Int32Range(-1, int32(tok.VocabSize()))).Draw(r, "ids")
			var raw []byte
			for _, id := range ids {
				raw = append(raw, tok.Piece(id)...)
			}
			got := stream(r, tok.NewDecoder(AtStart), ids)
			if got != tok.Decode(ids) {
				r.Fatalf("streamed %q, Decode %q", got, tok.Decode(ids))
			}
			if after := stream(r, tok.NewDecoder(AfterPrompt), ids); after != string([]rune(string(raw))) {
				r.Fatalf("after a prompt %q, pieces %q", after, raw)
			}
		})
	}
}

func TestIdsOutOfRange(t *testing.T) {
	for _, tok := range []*Tokenizer{smallSentencePiece(t), smallByteLevel(t, "")} {
		for _, id := range []int32{-1, math.MinInt32, math.MaxInt32, int32(tok.VocabSize())} {
			if tok.Piece(id) != nil || tok.Token(id) != "" || tok.IsSpecial(id) || tok.Decode([]int32{id}) != "" {
				t.Errorf("id %d is not empty", id)
			}
		}
	}
}
