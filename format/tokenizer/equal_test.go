package tokenizer

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

var sampleTexts = []string{
	"", " ", "  ", "a", " a", "a ", "a  b", "\n", "\n \n", "\x00", "é", "日本", "🦙", "e\u0301", "\ufffd", "▁",
	"Once upon a time, there was a little girl.", "I'll we'Ve 1234567 -- ?!", "<s>a</s><unk><0x0A>", "\t\t x",
}

// sameTokenizer checks that b does what a does.
func sameTokenizer(t *testing.T, a, b *Tokenizer) {
	t.Helper()
	if a.VocabSize() != b.VocabSize() || a.Special() != b.Special() || a.UNK() != b.UNK() {
		t.Fatalf("vocabulary %d, %+v, unk %d; the other %d, %+v, %d",
			a.VocabSize(), a.Special(), a.UNK(), b.VocabSize(), b.Special(), b.UNK())
	}
	for id := range int32(a.VocabSize()) {
		if a.Token(id) != b.Token(id) || a.IsSpecial(id) != b.IsSpecial(id) || string(a.Piece(id)) != string(b.Piece(id)) {
			t.Fatalf("token %d: %q %t %q, the other %q %t %q", id, a.Token(id), a.IsSpecial(id), a.Piece(id),
				b.Token(id), b.IsSpecial(id), b.Piece(id))
		}
	}
	for _, text := range sampleTexts {
		ids := a.Encode(text)
		if diff := cmp.Diff(ids, b.Encode(text)); diff != "" {
			t.Errorf("Encode(%q) differs:\n%s", text, diff)
		}
		if diff := cmp.Diff(a.EncodeSpecial(text), b.EncodeSpecial(text)); diff != "" {
			t.Errorf("EncodeSpecial(%q) differs:\n%s", text, diff)
		}
		if a.Decode(ids) != b.Decode(ids) {
			t.Errorf("Decode(%d) = %q, the other %q", ids, a.Decode(ids), b.Decode(ids))
		}
	}
}

// reparsed returns what Parse makes of t's File.
func reparsed(t *testing.T, tok *Tokenizer) *Tokenizer {
	t.Helper()
	name, data := tok.File()
	return must(t)(Parse(name, data))
}
