package jinja

import (
	"fmt"
	"strings"
)

// Error says what is wrong in a template, and where. Parsing and rendering panic with it inside the package, as
// text/template does, and return it.
type Error struct {
	Name      string // of the template
	Line, Col int    // both from 1
	Message   string
	Raised    bool // the template itself refused with raise_exception(Message)

	at int
}

func (e *Error) Error() string {
	return fmt.Sprintf("chat template %s, line %d, column %d: %s", e.Name, e.Line, e.Col, e.Message)
}

func failure(at int, format string, args ...any) *Error {
	return &Error{at: at, Message: fmt.Sprintf(format, args...)}
}

// catch turns the *Error of a panic into err, with its place in src; other panics go on.
func catch(name, src string, err *error) {
	switch p := recover().(type) {
	case nil:
	case *Error:
		before := src[:min(p.at, len(src))]
		p.Name = name
		p.Line = 1 + strings.Count(before, "\n")
		p.Col = len(before) - strings.LastIndexByte(before, '\n')
		*err = p
	default:
		panic(p)
	}
}
