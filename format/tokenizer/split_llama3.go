package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitLlama3 is splitGPT2 with the regular expression of Llama 3, alternatives in this order:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)
//	[^\r\n\p{L}\p{N}]?\p{L}+
//	\p{N}{1,3}
//	 ?[^\s\p{L}\p{N}]+[\r\n]*
//	\s*[\r\n]+
//	\s+(?!\S)
//	\s+
func splitLlama3(text string) int {
	if n := contractionLlama3(text); n > 0 {
		return n
	}
	r, size := utf8.DecodeRuneInString(text)
	switch {
	case unicode.IsLetter(r):
		return run(text, unicode.IsLetter)
	case unicode.IsNumber(r):
		return threeNumbers(text)
	}
	if r != '\r' && r != '\n' {
		if n := run(text[size:], unicode.IsLetter); n > 0 {
			return size + n
		}
	}
	lead := 0
	if r == ' ' {
		lead = 1
	}
	if n := run(text[lead:], isOther); n > 0 {
		return lead + n + run(text[lead+n:], isNewline)
	}
	// White space up to its last newline; without one, as GPT-2.
	if n := strings.LastIndexAny(text[:run(text, unicode.IsSpace)], "\r\n"); n >= 0 {
		return n + 1
	}
	return spaces(text)
}

// contractionLlama3 ignores case. U+017F is the one character outside ASCII that folds to a letter of these.
func contractionLlama3(text string) int {
	if text[0] != '\'' || len(text) < 2 {
		return 0
	}
	switch text[1] | 0x20 {
	case 's', 't', 'm', 'd':
		return 2
	}
	if strings.HasPrefix(text[1:], "ſ") {
		return 1 + len("ſ")
	}
	if len(text) >= 3 {
		switch string([]byte{text[1] | 0x20, text[2] | 0x20}) {
		case "re", "ve", "ll":
			return 3
		}
	}
	return 0
}

func threeNumbers(text string) int {
	n := 0
	for i, r := range text {
		if n == 3 || !unicode.IsNumber(r) {
			return i
		}
		n++
	}
	return len(text)
}

func isNewline(r rune) bool { return r == '\r' || r == '\n' }
