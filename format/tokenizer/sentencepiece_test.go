package tokenizer

import (
	"errors"
	"math"
	"testing"
)

func TestSentencePieceEncode(t *testing.T) {
	tok := smallSentencePiece(t)
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{" ", "▁▁"},
		{"   ", "▁▁|▁▁"},
		{"a", "▁|a"},
		{"ab", "▁ab"},
		{"abab", "▁ab|ab"}, // both ab first, by score; then ▁ab before aba
		{"ab ab", "▁ab|▁ab"},
		{"aaa", "▁|aa|a"}, // leftmost among equals
		{"aaaaa", "▁|aaaa|a"},
		{"é", "▁|é"},
		{"ö", "▁|<0xC3>|<0xB6>"},
		{"\x00", "▁|<0x00>"},
		{"\xff", "▁|<0xEF>|<0xBF>|<0xBD>"}, // not UTF-8: U+FFFD
		{"</s>", "▁|<0x3C>|<0x2F>|<0x73>|<0x3E>"},
		{"<0x0A>", "▁|<0x3C>|<0x30>|<0x78>|<0x30>|<0x41>|<0x3E>"},
	} {
		if got := tokens(tok, tok.Encode(c.text)); got != c.want {
			t.Errorf("Encode(%q) = %s, want %s", c.text, got, c.want)
		}
	}
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"<s>", "<s>"},
		{"<s>ab</s>ab", "<s>|▁ab|</s>|▁ab"},
		{"<unk>", "<unk>"},
		{"<<s>", "▁|<0x3C>|<s>"},
		{"<0x0A>", "▁|<0x3C>|<0x30>|<0x78>|<0x30>|<0x41>|<0x3E>"}, // a byte token has no spelling in text
	} {
		if got := tokens(tok, tok.EncodeSpecial(c.text)); got != c.want {
			t.Errorf("EncodeSpecial(%q) = %s, want %s", c.text, got, c.want)
		}
	}
}

func TestSentencePieceWithoutBytes(t *testing.T) {
	tok := must(t)(NewSentencePiece(smallPieces(false, "▁", "a"), llamaNormalizer, smallSpecial))
	for _, c := range []struct{ text, want string }{
		{"b", "▁|<unk>"},
		{"bba b", "▁|<unk>|a|▁|<unk>"}, // a run of unknown characters is one
	} {
		if got := tokens(tok, tok.Encode(c.text)); got != c.want {
			t.Errorf("Encode(%q) = %s, want %s", c.text, got, c.want)
		}
	}
	if got := tok.Decode(tok.Encode("ab")); got != "a ⁇ " {
		t.Errorf("unknown decodes to %q", got)
	}
	// Neither bytes nor <unk>: the character is dropped.
	tok = must(t)(NewSentencePiece([]Piece{{Text: "▁"}, {Text: "a"}}, Normalizer{}, Special{BOS: -1, EOS: -1}))
	if got := tokens(tok, tok.Encode("xa")); got != "a" || tok.UNK() != -1 {
		t.Errorf("Encode(xa) = %s, unk %d", got, tok.UNK())
	}
}

func TestSentencePieceKinds(t *testing.T) {
	pieces := smallPieces(true, "▁", "ab", "a", "b", "bc", "c", "abc", "cd", "d", "▁▁▁", "e", "cde", "bcd")
	base := len(pieces) - 13
	pieces[base+1].Kind = Unused      // ab: merges, is split again
	pieces[base+7].Kind = UserDefined // cd: never merged with c or b
	pieces[base+9].Kind = UserDefined // ▁▁▁
	tok := must(t)(NewSentencePiece(pieces, llamaNormalizer, smallSpecial))
	for _, c := range []struct{ text, want string }{
		{"ab", "▁|a|b"},
		{"abc", "▁|abc"}, // by way of the unused ab
		{"abcd", "▁|a|b|cd"},
		{"cde", "▁|cd|e"},
		{"bcd", "▁|b|cd"},
		{"   ab", "▁▁▁|▁|a|b"},
	} {
		if got := tokens(tok, tok.Encode(c.text)); got != c.want {
			t.Errorf("Encode(%q) = %s, want %s", c.text, got, c.want)
		}
	}
	sameTokenizer(t, tok, reparsed(t, tok))
}

func TestEqualScoresMergeLeftmostFirst(t *testing.T) {
	pieces := smallPieces(false, "▁", "a", "b", "ab", "ba")
	for i := range pieces {
		pieces[i].Score = -1
	}
	tok := must(t)(NewSentencePiece(pieces, llamaNormalizer, smallSpecial))
	if got := tokens(tok, tok.Encode("baba")); got != "▁|ba|ba" {
		t.Errorf("got %s", got)
	}
}

func TestWithChecksIds(t *testing.T) {
	tok := smallSentencePiece(t)
	for _, id := range []int32{-1, -2, int32(tok.VocabSize()), math.MaxInt32} {
		if got, want := tok.With(Special{BOS: id, EOS: id, AddBOS: true}).Special(), (Special{BOS: -1, EOS: -1}); got != want {
			t.Errorf("With %d: %+v, want %+v", id, got, want)
		}
	}
}

func TestNormalizer(t *testing.T) {
	for _, c := range []struct {
		n          Normalizer
		text, want string
	}{
		{Normalizer{}, "", ""},
		{Normalizer{}, " a ", "▁a▁"},
		{Normalizer{DummyPrefix: true}, "", ""},
		{Normalizer{DummyPrefix: true}, "  a", "▁▁▁a"},
		{Normalizer{RemoveExtra: true}, "  a   b ", "a▁b"},
		{Normalizer{RemoveExtra: true, DummyPrefix: true}, "   ", ""},
		{Normalizer{RemoveExtra: true, DummyPrefix: true}, " a  b", "▁a▁b"},
	} {
		if got := (normalizer{Normalizer: c.n, space: spaceSymbol}).apply(c.text, true); got != c.want {
			t.Errorf("%+v on %q: %q, want %q", c.n, c.text, got, c.want)
		}
	}
}

func TestSentencePieceFile(t *testing.T) {
	for _, s := range []Special{smallSpecial, {BOS: 1, EOS: 2}, {BOS: -1, EOS: -1}, {BOS: 5, EOS: -1, AddBOS: true}} {
		for _, n := range []Normalizer{{}, {DummyPrefix: true}, {RemoveExtra: true}} {
			tok := must(t)(NewSentencePiece(smallPieces(true, "▁", "▁a", "a", "a", ""), n, s))
			again := reparsed(t, tok)
			sameTokenizer(t, tok, again)
			// With on a file that was read: later fields stand in place of earlier ones.
			changed := again.With(Special{BOS: 2, EOS: 1})
			if changed.BOS() != 2 || again.BOS() != s.BOS {
				t.Errorf("With: BOS %d, before %d", changed.BOS(), again.BOS())
			}
			sameTokenizer(t, changed, reparsed(t, changed))
		}
	}
}

func TestSentencePieceRefused(t *testing.T) {
	vocab := appendBytes(nil, modelPieces, appendBytes(nil, pieceText, "a"))
	bpe := func(more ...byte) []byte {
		return appendBytes(vocab[:len(vocab):len(vocab)], modelTrainer, append(appendInt(nil, trainerModelType, modelTypeBPE), more...))
	}
	piece := func(msg []byte) []byte { return appendBytes(bpe(), modelPieces, msg) }
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"empty", nil, ErrCorrupt},
		{"unigram", vocab, ErrUnsupported},
		{"suffix", bpe(appendBool(nil, trainerWSSuffix, true)...), ErrUnsupported},
		{"charsmap", appendBytes(bpe(), modelNormalizer, appendBytes(nil, normalizerCharsmap, "x")), ErrUnsupported},
		{"tag 0", append(bpe(), 0), ErrCorrupt},
		{"group", append(bpe(), 0x0b), ErrCorrupt},
		{"length 2^32-1", append(bpe(), 0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f), ErrCorrupt},
		{"length 2^64-1", append(bpe(), 0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), ErrCorrupt},
		{"varint of 11 bytes", append(bpe(), 0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), ErrCorrupt},
		{"NaN", piece(appendFloat(nil, pieceScore, math.Float32bits(float32(math.NaN())))), ErrCorrupt},
		{"type 0", piece(appendInt(nil, pieceType, 0)), ErrCorrupt},
		{"type 7", piece(appendInt(nil, pieceType, 7)), ErrCorrupt},
		{"type 257", piece(appendInt(nil, pieceType, 257)), ErrCorrupt},
		{"<0x-1>", piece(appendInt(appendBytes(nil, pieceText, "<0x-1>"), pieceType, int64(Byte))), ErrCorrupt},
		{"64 KiB + 1", piece(appendBytes(nil, pieceText, make([]byte, maxPieceLen+1))), ErrCorrupt},
		{"text as number", piece(appendInt(nil, pieceText, 1)), ErrCorrupt},
	} {
		if _, err := ParseSentencePiece(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := ParseSentencePiece(bpe()); err != nil {
		t.Errorf("the smallest vocabulary: %v", err)
	}
}

// Every truncation and every flipped bit: an error of ours or a tokenizer that works.
func TestSentencePieceDamaged(t *testing.T) {
	tok := must(t)(NewSentencePiece(smallPieces(false, "▁", "ab", "a", "b"), llamaNormalizer, smallSpecial))
	_, data := tok.File()
	damaged(t, data, func(b []byte) (*Tokenizer, error) { return ParseSentencePiece(b) })
}

func damaged(t *testing.T, data []byte, parse func([]byte) (*Tokenizer, error)) {
	t.Helper()
	try := func(b []byte) {
		tok, err := parse(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("untyped error: %v", err)
			}
			return
		}
		exercise(tok, "ab <s>é")
	}
	for n := range data {
		try(data[:n:n])
	}
	for bit := range 8 * len(data) {
		b := append([]byte(nil), data...)
		b[bit/8] ^= 1 << (bit % 8)
		try(b)
	}
}

// exercise calls everything a file could have broken.
func exercise(tok *Tokenizer, text string) {
	tok.Decode(tok.Encode(text))
	tok.Decode(tok.EncodeSpecial(text))
	for _, id := range []int32{-1, 0, int32(tok.VocabSize()) - 1, int32(tok.VocabSize()), math.MinInt32, math.MaxInt32, tok.BOS(), tok.EOS(), tok.UNK()} {
		tok.Piece(id)
		tok.IsSpecial(id)
		tok.ID(tok.Token(id))
		tok.Decode([]int32{id})
	}
}
