package tokenizer

import (
	"regexp"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// Go's regexp has no lookahead, and its \s is ASCII: white space without a newline is left to bySpaces.
var (
	gpt2Regexp   = regexp.MustCompile(`^(?:'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\t-\r\x{85}\p{Z}\p{L}\p{N}]+)`)
	llama3Regexp = regexp.MustCompile(`^(?:(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|` +
		` ?[^\t-\r\x{85}\p{Z}\p{L}\p{N}]+[\r\n]*|[\t-\r\x{85}\p{Z}]*[\r\n]+)`)
	spaceRegexp = regexp.MustCompile(`^[\t-\r\x{85}\p{Z}]+`)
)

func definition(re *regexp.Regexp, text string) int {
	if m := re.FindString(text); m != "" {
		return len(m)
	}
	n := len(spaceRegexp.FindString(text))
	if n < len(text) {
		if _, last := utf8.DecodeLastRuneInString(text[:n]); last < n {
			return n - last
		}
	}
	return n
}

func TestSplit(t *testing.T) {
	texts := []string{"'s", "'S", "'ſx", "'", "''", "'r", "'re", "'RE", "'lL", "'l", "\t", "\t\n", "\n\t", "  a", " 1", "\u00a0a",
		"\u00a0\u00a0", "  ", " \n a", " .\r\n\n.", "1234", "½²Ⅳ٣", "é\u0301", "\u3000日本", "\u200b", "\u0085\n", "a\u2028b", "?\n\n a", " '", "' '"}
	for _, text := range texts {
		checkSplit(t, text)
	}
	rapid.Check(t, func(r *rapid.T) {
		checkSplit(r, rapid.StringOf(rapid.SampledFrom([]rune("'sStTrReEvVmMlLdD \n\r\t\u00a0\u3000\u008512½٣.!é日\u0301ſ🦙"))).Draw(r, "text"))
	})
}

func checkSplit(t interface{ Fatalf(string, ...any) }, text string) {
	for rest := text; rest != ""; {
		got, want := splitGPT2(rest), definition(gpt2Regexp, rest)
		if got != want {
			t.Fatalf("splitGPT2(%q) = %d, want %d", rest, got, want)
		}
		rest = rest[got:]
	}
	for rest := text; rest != ""; {
		got, want := splitLlama3(rest), definition(llama3Regexp, rest)
		if got != want {
			t.Fatalf("splitLlama3(%q) = %d, want %d", rest, got, want)
		}
		rest = rest[got:]
	}
}

func TestDigitsStandAlone(t *testing.T) {
	for _, c := range []struct {
		text string
		want int
	}{{"", 0}, {"1", 1}, {"12", 1}, {"²a", 2}, {"a1", 1}, {"ab", 2}, {"  12", 2}} {
		if got := beforeNumber(c.text); got != c.want {
			t.Errorf("beforeNumber(%q) = %d, want %d", c.text, got, c.want)
		}
	}
	// "a  12": the two spaces end what GPT-2's expression sees, so they stay together.
	tok := smallByteLevel(t, "smollm")
	if got := tokens(tok, tok.Encode("a  12")); got != "a|ĠĠ|1|2" {
		t.Errorf("got %s", got)
	}
}
