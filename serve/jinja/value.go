package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// value is what expressions become: nil (none), undefined, bool, int64, float64, text, *list, *dict, *namespace,
// *loop or function.
type value any

// undefined is what a name stands for that nothing was set for.
type undefined struct{ name string }

// text is a string that knows where each byte is from.
type text struct {
	s    string
	from string // of the length of s: Trusted or Given
}

// What Text.From says of a byte.
const (
	Trusted = 't' // the template, or a caller who is trusted as it is
	Given   = 'g' // a message: nobody knows what it holds
)

func fromTemplate(s string) text { return text{s, strings.Repeat(string(rune(Trusted)), len(s))} }
func given(s string) text        { return text{s, strings.Repeat(string(rune(Given)), len(s))} }

func (t text) slice(i, j int) text { return text{t.s[i:j], t.from[i:j]} }

type list struct {
	items []value
	tuple bool // is printed as one
}

// dict keeps its keys in order.
type dict struct {
	keys   []text
	values map[string]value
}

func (d *dict) set(key text, v value) {
	if d.values == nil {
		d.values = map[string]value{}
	}
	if _, old := d.values[key.s]; !old {
		d.keys = append(d.keys, key)
	}
	d.values[key.s] = v
}

// namespace is what {% set ns.x = ... %} may change.
type namespace struct{ values map[string]value }

// function is a macro, a method or one of the functions that every template has.
type function func(r *run, a arguments) value

// truth is what a condition makes of v.
func truth(v value) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case text:
		return v.s != ""
	case *list:
		return len(v.items) > 0
	case *dict:
		return len(v.keys) > 0
	}
	return true
}

// typeName names the type of v for an error.
func typeName(v value) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case undefined:
		return fmt.Sprintf("undefined (%s)", v.name)
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case text:
		return "a string"
	case *list:
		return "a list"
	case *dict:
		return "a mapping"
	case *namespace:
		return "a namespace"
	case *loop:
		return "a loop"
	}
	return "a function"
}

// show returns v as {{ }} prints it.
func (r *run) show(v value) text {
	switch v := v.(type) {
	case text:
		return v
	case undefined:
		return text{}
	}
	var b builder
	r.repr(&b, v)
	return b.text()
}

// repr writes v as Python does within a list.
func (r *run) repr(b *builder, v value) {
	r.step()
	defer r.nest()()
	switch v := v.(type) {
	case nil:
		r.write(b, fromTemplate("None"))
	case undefined:
		r.write(b, fromTemplate("Undefined"))
	case bool:
		r.write(b, fromTemplate(map[bool]string{true: "True", false: "False"}[v]))
	case int64:
		r.write(b, fromTemplate(strconv.FormatInt(v, 10)))
	case float64:
		r.write(b, fromTemplate(floatText(v)))
	case text:
		r.quote(b, v)
	case *list:
		open, end := "[", "]"
		if v.tuple {
			open, end = "(", ")"
			if len(v.items) == 1 {
				end = ",)"
			}
		}
		r.write(b, fromTemplate(open))
		for i, item := range v.items {
			if i > 0 {
				r.write(b, fromTemplate(", "))
			}
			r.repr(b, item)
		}
		r.write(b, fromTemplate(end))
	case *dict:
		r.write(b, fromTemplate("{"))
		for i, key := range v.keys {
			if i > 0 {
				r.write(b, fromTemplate(", "))
			}
			r.quote(b, key)
			r.write(b, fromTemplate(": "))
			r.repr(b, v.values[key.s])
		}
		r.write(b, fromTemplate("}"))
	default:
		r.fail("cannot print %s", typeName(v))
	}
}

// floatText is Python's repr of a float.
func floatText(x float64) string {
	s := strconv.FormatFloat(x, 'g', -1, 64)
	if e := strings.IndexByte(s, 'e'); e >= 0 {
		if exp, _ := strconv.Atoi(s[e+1:]); exp < -4 || exp >= 16 {
			return s
		}
		s = strconv.FormatFloat(x, 'f', -1, 64)
	}
	if !strings.ContainsAny(s, ".nI") {
		s += ".0"
	}
	return s
}

// quote writes t as a Python literal.
func (r *run) quote(b *builder, t text) {
	q := "'"
	if strings.Contains(t.s, "'") && !strings.Contains(t.s, `"`) {
		q = `"`
	}
	r.write(b, fromTemplate(q))
	r.escaped(b, t, func(c rune) string {
		switch {
		case c == '\n':
			return `\n`
		case c == '\t':
			return `\t`
		case c == '\r':
			return `\r`
		case c == '\\' || string(c) == q:
			return `\` + string(c)
		case c < 0x20 || c == 0x7f:
			return fmt.Sprintf(`\x%02x`, c)
		case !unicode.IsPrint(c):
			return fmt.Sprintf(`\u%04x`, c)
		}
		return ""
	})
	r.write(b, fromTemplate(q))
}

// escaped writes t, with what escape returns for a character in its place where that is not "".
func (r *run) escaped(b *builder, t text, escape func(rune) string) {
	done := 0
	for i, c := range t.s {
		if e := escape(c); e != "" {
			r.write(b, t.slice(done, i))
			r.write(b, text{e, strings.Repeat(t.from[i:i+1], len(e))})
			done = i + len(string(c))
		}
	}
	r.write(b, t.slice(done, len(t.s)))
}

// builder grows a text.
type builder struct{ s, from strings.Builder }

func (b *builder) text() text { return text{b.s.String(), b.from.String()} }

// write appends t to b, within the limits of the run.
func (r *run) write(b *builder, t text) {
	r.spend(len(t.s))
	if b.s.Len()+len(t.s) > MaxOutput {
		r.fail("makes a text of more than %d bytes", MaxOutput)
	}
	b.s.WriteString(t.s)
	b.from.WriteString(t.from)
}

// concat joins texts.
func (r *run) concat(texts ...text) text {
	var b builder
	for _, t := range texts {
		r.write(&b, t)
	}
	return b.text()
}
