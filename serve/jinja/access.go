package jinja

import "unicode/utf8"

// attribute is value.name: a method, or an item of that name.
type attribute struct {
	value expression
	name  string
	at    int
}

func (e *attribute) eval(r *run) value {
	v := r.eval(e.value)
	r.at = e.at
	switch v := v.(type) {
	case undefined:
		r.fail("%s is undefined, so it has no %q", v.name, e.name)
	case text:
		if m := textMethods[e.name]; m != nil {
			return function(func(r *run, a arguments) value { return m(r, v, a) })
		}
	case *dict:
		if m := dictMethods[e.name]; m != nil {
			return function(func(r *run, a arguments) value { return m(r, v, a) })
		}
		if w, ok := v.values[e.name]; ok {
			return w
		}
	case *namespace:
		if w, ok := v.values[e.name]; ok {
			return w
		}
	case *loop:
		if w, ok := v.attribute(e.name); ok {
			return w
		}
	}
	return undefined{e.name}
}

// item is value[index].
type item struct {
	value, index expression
	at           int
}

func (e *item) eval(r *run) value {
	v, index := r.eval(e.value), r.eval(e.index)
	r.at = e.at
	switch v := v.(type) {
	case undefined:
		r.fail("%s is undefined, so it has no items", v.name)
	case *dict:
		if w, ok := r.member(v.values, index); ok {
			return w
		}
	case *namespace:
		if w, ok := r.member(v.values, index); ok {
			return w
		}
	case *loop:
		name, _ := index.(text)
		if w, ok := v.attribute(name.s); ok {
			return w
		}
	case *list:
		if i, ok := place(index, len(v.items)); ok {
			return v.items[i]
		}
	case text:
		at, n := r.runes(v)
		if i, ok := place(index, n); ok {
			return v.slice(at(i), at(i+1))
		}
	}
	return undefined{"an item that is not there"}
}

// member looks key up, which need not be a string.
func (r *run) member(of map[string]value, key value) (value, bool) {
	t, ok := key.(text)
	r.spend(len(t.s)) // for its hash
	v, has := of[t.s]
	return v, ok && has
}

// place returns which of n items index stands for; from the end where it is negative.
func place(index value, n int) (int, bool) {
	i, ok := index.(int64)
	if i < 0 {
		i += int64(n)
	}
	return int(i), ok && i >= 0 && i < int64(n)
}

// runes returns where the characters of t begin, and how many there are.
func (r *run) runes(t text) (at func(int) int, n int) {
	r.spend(len(t.s))
	if n = utf8.RuneCountInString(t.s); n == len(t.s) {
		return func(i int) int { return i }, n
	}
	starts := make([]int, 0, n+1)
	for i := range t.s {
		starts = append(starts, i)
	}
	starts = append(starts, len(t.s))
	return func(i int) int { return starts[i] }, n
}

type slice struct {
	value, from, to, step expression // the last three may be nil
	at                    int
}

func (e *slice) eval(r *run) value {
	v := r.eval(e.value)
	part := func(x expression) (n int64, given bool) {
		if x == nil {
			return 0, false
		}
		switch w := r.eval(x).(type) {
		case nil:
			return 0, false
		case int64:
			return w, true
		default:
			r.at = e.at
			r.fail("a slice from or to %s", typeName(w))
			return 0, false
		}
	}
	from, hasFrom := part(e.from)
	to, hasTo := part(e.to)
	step, hasStep := part(e.step)
	if !hasStep {
		step = 1
	}
	r.at = e.at
	if step == 0 {
		r.fail("a slice with step 0")
	}
	var n int
	var at func(int) int
	l, isList := v.(*list)
	t, isText := v.(text)
	switch {
	case isList:
		n = len(l.items)
	case isText:
		at, n = r.runes(t)
	default:
		r.fail("a slice of %s", typeName(v))
	}
	// Python's clamping: forwards within 0..n, backwards within -1..n-1.
	low, high := int64(0), int64(n)
	if step < 0 {
		low, high = -1, int64(n)-1
	}
	clamp := func(i int64, given bool, absent int64) int64 {
		if !given {
			return absent
		}
		if i < 0 {
			i += int64(n)
		}
		return min(max(i, low), high)
	}
	var i, end int64
	if step > 0 {
		i, end = clamp(from, hasFrom, low), clamp(to, hasTo, high)
	} else {
		i, end = clamp(from, hasFrom, high), clamp(to, hasTo, low)
	}
	if isText && step == 1 {
		return t.slice(at(int(i)), at(int(max(i, end))))
	}
	var items []value
	var b builder
	for ; step > 0 && i < end || step < 0 && i > end; i += step {
		if isText {
			r.write(&b, t.slice(at(int(i)), at(int(i)+1)))
		} else {
			items = append(items, l.items[i])
		}
		if step > int64(n) || step < -int64(n) {
			break // i + step must not overflow
		}
	}
	if isText {
		return b.text()
	}
	return r.makeList(items)
}
