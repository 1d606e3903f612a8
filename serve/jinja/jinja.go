// Package jinja renders chat templates: the part of Jinja2 that they are written in, with the settings that
// Hugging Face renders them with (trim_blocks, lstrip_blocks, a sandbox that changes nothing).
//
// It differs from a general engine in two ways, both because templates come with models from strangers and messages
// from other strangers. Everything is bounded: nesting, steps, bytes, lists, calls; a template cannot read a file, reach
// a Go value or stop the process. And every byte of the result knows whether the template wrote it or a message, so
// that a message which spells a control token stays text.
package jinja

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxSource bounds a template, in bytes.
const MaxSource = 64 << 10

// Template is parsed. It never changes, so any number of goroutines may render it.
type Template struct {
	name, src string
	body      []statement
}

// Parse reads a template; name is for errors, which are *Error but for sizes.
func Parse(name, src string) (t *Template, err error) {
	if len(src) > MaxSource {
		return nil, fmt.Errorf("chat template %s: %d bytes, at most %d", name, len(src), MaxSource)
	}
	if !utf8.ValidString(src) {
		return nil, fmt.Errorf("chat template %s: is not UTF-8", name)
	}
	src = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(src)
	src = strings.TrimSuffix(src, "\n")
	defer catch(name, src, &err)
	p := &parser{tokens: lex(src)}
	body, _ := p.body()
	return &Template{name, src, body}, nil
}

// Source returns the template as it was parsed.
func (t *Template) Source() string { return t.src }

// Name returns what the template is called in errors.
func (t *Template) Name() string { return t.name }

// Text is a rendered template. Of byte i of S, From[i] says where it is from: Trusted or Given.
type Text struct{ S, From string }

// Message is a string that a stranger wrote; a plain string counts as the template's own.
type Message string

// Map is a mapping that keeps its order.
type Map []Member

// Member is one of a Map.
type Member struct {
	Key   string
	Value any
}

// Render returns what the template makes of vars, whose values are nil, bool, int, float64, string, Message, []any
// or Map. Errors are *Error.
func (t *Template) Render(vars map[string]any, now time.Time) (out Text, err error) {
	defer catch(t.name, t.src, &err)
	r := &run{out: &builder{}, filters: filters}
	r.globals = &scope{names: map[string]value{}, up: &scope{names: functions}}
	r.globals.set("strftime_now", function(func(r *run, a arguments) value { return strftime(r, a, now) }))
	for name, v := range vars {
		r.globals.set(name, convert(v))
	}
	r.scope = r.globals
	r.all(t.body)
	o := r.out.text()
	return Text{o.s, o.from}, nil
}

func convert(v any) value {
	switch v := v.(type) {
	case nil, bool, float64:
		return v
	case int:
		return int64(v)
	case string:
		return fromTemplate(strings.ToValidUTF8(v, "\uFFFD"))
	case Message:
		return given(strings.ToValidUTF8(string(v), "\uFFFD"))
	case []any:
		l := &list{}
		for _, item := range v {
			l.items = append(l.items, convert(item))
		}
		return l
	case Map:
		d := &dict{}
		for _, m := range v {
			d.set(fromTemplate(m.Key), convert(m.Value))
		}
		return d
	}
	panic(fmt.Sprintf("jinja: Render: a variable is a %T", v))
}
