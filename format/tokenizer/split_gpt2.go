package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitGPT2 returns the length in bytes of the first word of text, which is not empty. Words never merge with
// each other. It is the regular expression of GPT-2 and of Hugging Face's ByteLevel:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func splitGPT2(text string) int {
	if n := contractionGPT2(text); n > 0 {
		return n
	}
	lead := 0
	if text[0] == ' ' {
		lead = 1
	}
	r, _ := utf8.DecodeRuneInString(text[lead:])
	switch {
	case lead == len(text):
		return lead
	case unicode.IsLetter(r):
		return lead + run(text[lead:], unicode.IsLetter)
	case unicode.IsNumber(r):
		return lead + run(text[lead:], unicode.IsNumber)
	case !unicode.IsSpace(r):
		return lead + run(text[lead:], isOther)
	}
	return spaces(text)
}

func contractionGPT2(text string) int {
	if text[0] != '\'' {
		return 0
	}
	for _, c := range [...]string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
		if strings.HasPrefix(text, c) {
			return len(c)
		}
	}
	return 0
}

// spaces is \s+(?!\S)|\s+ on a text that begins with white space: a run of it leaves its last character to
// the word that follows, if one does and the run is longer than that.
func spaces(text string) int {
	n := run(text, unicode.IsSpace)
	if n < len(text) {
		if _, last := utf8.DecodeLastRuneInString(text[:n]); last < n {
			n -= last
		}
	}
	return n
}

// isOther is [^\s\p{L}\p{N}].
func isOther(r rune) bool { return !unicode.IsSpace(r) && !unicode.IsLetter(r) && !unicode.IsNumber(r) }

// run returns the length in bytes of the longest prefix of text in which in holds for each rune.
func run(text string, in func(rune) bool) int {
	for i, r := range text {
		if !in(r) {
			return i
		}
	}
	return len(text)
}

// beforeNumber returns the part of text that is cut alone where every digit is a word, as the Digits
// pre-tokenizer does: one number character, or all up to the next one.
func beforeNumber(text string) int {
	for i, r := range text {
		if unicode.IsNumber(r) {
			if i == 0 {
				return utf8.RuneLen(r)
			}
			return i
		}
	}
	return len(text)
}
