package jinja

import (
	"cmp"
	"strings"
	"unicode/utf8"
)

// comparison is a < b <= c, as in Python.
type comparison struct {
	first     expression
	operators []string
	operands  []expression
	at        []int
}

func (e *comparison) eval(r *run) value {
	left := r.eval(e.first)
	for i, op := range e.operators {
		right := r.eval(e.operands[i])
		r.at = e.at[i]
		if !r.compare(op, left, right) {
			return false
		}
		left = right
	}
	return true
}

func (r *run) compare(op string, a, b value) bool {
	switch op {
	case "==":
		return r.equal(a, b)
	case "!=":
		return !r.equal(a, b)
	case "in":
		return r.contains(b, a)
	case "not in":
		return !r.contains(b, a)
	}
	order := r.order(a, b)
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

// order compares two numbers or two strings.
func (r *run) order(a, b value) int {
	if s, ok := a.(text); ok {
		if t, ok := b.(text); ok {
			r.spend(min(len(s.s), len(t.s)))
			return strings.Compare(s.s, t.s)
		}
	}
	if x, ok := number(a); ok {
		if y, ok := number(b); ok {
			return cmp.Compare(x, y)
		}
	}
	r.fail("cannot compare %s with %s", typeName(a), typeName(b))
	return 0
}

// number returns what v counts as in arithmetic.
func number(v value) (float64, bool) {
	if x, ok := v.(float64); ok {
		return x, true
	}
	n, ok := whole(v)
	return float64(n), ok
}

// whole returns what a whole number or a boolean counts as.
func whole(v value) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

func (r *run) equal(a, b value) bool {
	r.step()
	defer r.nest()()
	switch a := a.(type) {
	case nil:
		return b == nil
	case undefined:
		_, ok := b.(undefined)
		return ok
	case text:
		t, ok := b.(text)
		r.spend(min(len(a.s), len(t.s)))
		return ok && a.s == t.s
	case *list:
		l, ok := b.(*list)
		if !ok || len(a.items) != len(l.items) {
			return false
		}
		for i := range a.items {
			if !r.equal(a.items[i], l.items[i]) {
				return false
			}
		}
		return true
	case *dict:
		d, ok := b.(*dict)
		if !ok || len(a.keys) != len(d.keys) {
			return false
		}
		for key, v := range a.values {
			if w, ok := d.values[key]; !ok || !r.equal(v, w) {
				return false
			}
		}
		return true
	}
	x, ok := number(a)
	y, both := number(b)
	return ok && both && x == y
}

func (r *run) contains(in, v value) bool {
	switch in := in.(type) {
	case text:
		t, ok := v.(text)
		if !ok {
			r.fail("cannot look for %s in a string", typeName(v))
		}
		r.spend(len(in.s))
		return strings.Contains(in.s, t.s)
	case *dict:
		_, has := r.member(in.values, v)
		return has
	}
	for _, item := range r.items(in) {
		if r.equal(item, v) {
			return true
		}
	}
	return false
}

// items returns what a loop over v sees.
func (r *run) items(v value) []value {
	switch v := v.(type) {
	case *list:
		return v.items
	case undefined:
		return nil
	case *dict:
		items := make([]value, len(v.keys))
		for i, key := range v.keys {
			items[i] = key
		}
		return r.makeList(items).items
	case text:
		if utf8.RuneCountInString(v.s) > maxItems {
			r.fail("makes a list of more than %d items", maxItems)
		}
		var items []value
		for i, c := range v.s {
			items = append(items, v.slice(i, i+utf8.RuneLen(c)))
		}
		return r.makeList(items).items
	}
	r.fail("%s has no items", typeName(v))
	return nil
}
