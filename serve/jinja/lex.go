package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind says what a token is.
type kind uint8

const (
	kindEnd        kind = iota // of the template
	kindText                   // what stands outside of tags
	kindPrintBegin             // {{
	kindPrintEnd               // }}
	kindBlockBegin             // {%
	kindBlockEnd               // %}
	kindName
	kindString
	kindInt
	kindFloat
	kindOperator
)

// token is a piece of a template. text is its own: of a string what it stands for.
type token struct {
	kind kind
	text string
	at   int // byte in the source
}

// lexer cuts a template into tokens. It applies trim_blocks and lstrip_blocks, which chat templates are written
// for: the newline behind a block is dropped, and so are the spaces before one that begins its line.
type lexer struct {
	src    string
	i      int
	tokens []token
}

func (l *lexer) fail(at int, format string, args ...any) { panic(failure(at, format, args...)) }

func (l *lexer) emit(k kind, text string, at int) {
	l.tokens = append(l.tokens, token{k, text, at})
}

// lex returns the tokens of src, the last of which is a kindEnd. It panics with an *Error.
func lex(src string) []token {
	l := &lexer{src: src}
	lineBegins := true // what was read so far ends a line
	for {
		from := l.i
		at := nextTag(src, from)
		if at < 0 {
			l.text(from, src[from:])
			l.emit(kindEnd, "", len(src))
			return l.tokens
		}
		text, tag := src[from:at], src[at:at+2]
		l.i = at + 2
		mark := l.mark()
		line := strings.LastIndexByte(text, '\n') + 1
		switch {
		case mark == '-':
			text = strings.TrimRightFunc(text, unicode.IsSpace)
		case tag != "{{" && mark != '+' && (line > 0 || lineBegins) && strings.TrimSpace(text[line:]) == "":
			text = text[:line]
		}
		l.text(from, text)
		end := l.tag(tag, at)
		lineBegins = end > 0 && src[end-1] == '\n'
	}
}

// nextTag returns where the next tag or comment begins, or -1.
func nextTag(src string, from int) int {
	for i := from; i+1 < len(src); i++ {
		if src[i] == '{' && (src[i+1] == '{' || src[i+1] == '%' || src[i+1] == '#') {
			return i
		}
	}
	return -1
}

// mark takes the - or + that may stand behind the beginning of a tag.
func (l *lexer) mark() byte {
	if l.i < len(l.src) && (l.src[l.i] == '-' || l.src[l.i] == '+') {
		l.i++
		return l.src[l.i-1]
	}
	return 0
}

func (l *lexer) text(at int, s string) {
	if s != "" {
		l.emit(kindText, s, at)
	}
}

// tag reads what tag begins, to behind the whitespace that its end takes, and returns where that is.
func (l *lexer) tag(tag string, at int) int {
	switch tag {
	case "{{":
		l.emit(kindPrintBegin, tag, at)
		l.inside("}}", at)
		l.emit(kindPrintEnd, "}}", l.i)
		l.close("}}")
	case "{%":
		l.emit(kindBlockBegin, tag, at)
		l.inside("%}", at)
		l.emit(kindBlockEnd, "%}", l.i)
		l.close("%}")
	default:
		n := strings.Index(l.src[l.i:], "#}")
		if n < 0 {
			l.fail(at, "the comment does not end")
		}
		l.i += n
		if c := l.src[l.i-1]; c == '-' || c == '+' {
			l.i--
		}
		l.close("#}")
	}
	return l.i
}

// close takes end, with a mark before it, and the whitespace that belongs to it.
func (l *lexer) close(end string) {
	mark := l.mark()
	l.i += len(end)
	switch {
	case mark == '-':
		l.space()
	case mark != '+' && end != "}}" && l.i < len(l.src) && l.src[l.i] == '\n':
		l.i++
	}
}

func (l *lexer) space() {
	rest := l.src[l.i:]
	l.i += len(rest) - len(strings.TrimLeftFunc(rest, unicode.IsSpace))
}

// inside reads tokens up to end, which stands outside of all brackets.
func (l *lexer) inside(end string, begin int) {
	var open []byte
	for {
		l.space()
		rest := l.src[l.i:]
		if rest == "" {
			l.fail(begin, "the tag does not end with %s", end)
		}
		if len(open) == 0 && (strings.HasPrefix(rest, end) || (rest[0] == '-' || rest[0] == '+') && strings.HasPrefix(rest[1:], end)) {
			return
		}
		switch c := rest[0]; {
		case c == '\'' || c == '"':
			l.string(c)
		case '0' <= c && c <= '9':
			l.number()
		case c == '_' || c >= utf8.RuneSelf || unicode.IsLetter(rune(c)):
			n := strings.IndexFunc(rest, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
			if n < 0 {
				n = len(rest)
			}
			if n == 0 {
				l.fail(l.i, "unexpected character %q", firstRune(rest))
			}
			l.emit(kindName, rest[:n], l.i)
			l.i += n
		default:
			op := operator(rest)
			if op == "" {
				l.fail(l.i, "unexpected character %q", firstRune(rest))
			}
			switch op {
			case "(", "[", "{":
				open = append(open, op[0])
			case ")", "]", "}":
				if len(open) == 0 || !pairs(open[len(open)-1], op[0]) {
					l.fail(l.i, "%q closes nothing", op)
				}
				open = open[:len(open)-1]
			}
			l.emit(kindOperator, op, l.i)
			l.i += len(op)
		}
	}
}

func pairs(open, end byte) bool {
	return open == '(' && end == ')' || open == '[' && end == ']' || open == '{' && end == '}'
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

// operators, longer ones before those that begin them.
var operators = []string{"**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "|", ".", ",", ":", "(", ")", "[", "]", "{", "}"}

func operator(s string) string {
	for _, op := range operators {
		if strings.HasPrefix(s, op) {
			return op
		}
	}
	return ""
}

func (l *lexer) number() {
	from, k := l.i, kindInt
	digits := func() {
		for l.i < len(l.src) && (l.src[l.i] >= '0' && l.src[l.i] <= '9' || l.src[l.i] == '_') {
			l.i++
		}
	}
	digits()
	if l.i+1 < len(l.src) && l.src[l.i] == '.' && l.src[l.i+1] >= '0' && l.src[l.i+1] <= '9' {
		k = kindFloat
		l.i++
		digits()
	}
	if n := exponent(l.src[l.i:]); n > 0 {
		k = kindFloat
		l.i += n
		digits()
	}
	l.emit(k, strings.ReplaceAll(l.src[from:l.i], "_", ""), from)
}

// exponent returns the length of the e and the sign that s begins with before a digit.
func exponent(s string) int {
	if s == "" || s[0]|0x20 != 'e' {
		return 0
	}
	n := 1
	if len(s) > 1 && (s[1] == '+' || s[1] == '-') {
		n = 2
	}
	if len(s) <= n || s[n] < '0' || s[n] > '9' {
		return 0
	}
	return n
}

// string reads a string literal, with Python's escapes.
func (l *lexer) string(quote byte) {
	from := l.i
	var b strings.Builder
	for l.i++; l.i < len(l.src); l.i++ {
		switch c := l.src[l.i]; c {
		case quote:
			l.i++
			l.emit(kindString, b.String(), from)
			return
		case '\\':
			l.i++
			l.escape(&b)
		default:
			b.WriteByte(c)
		}
	}
	l.fail(from, "the string does not end")
}

var escapes = map[byte]string{'n': "\n", 't': "\t", 'r': "\r", '\\': "\\", '\'': "'", '"': "\"", '\n': "", 'a': "\a", 'b': "\b", 'f': "\f", 'v': "\v", '0': "\x00"}

// escape reads what stands behind a backslash; l.i is left on its last byte.
func (l *lexer) escape(b *strings.Builder) {
	if l.i == len(l.src) {
		return // string says that it does not end
	}
	c := l.src[l.i]
	if s, ok := escapes[c]; ok {
		b.WriteString(s)
		return
	}
	n := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	if n == 0 {
		b.WriteByte('\\') // as Python has it
		b.WriteByte(c)
		return
	}
	var r rune
	for range n {
		l.i++
		if l.i == len(l.src) {
			return
		}
		d := strings.IndexByte("0123456789abcdef", l.src[l.i]|0x20)
		if d < 0 || r > utf8.MaxRune {
			l.fail(l.i, "\\%c wants %d hexadecimal digits of a character", c, n)
		}
		r = r<<4 | rune(d)
	}
	b.WriteRune(r)
}
