package jinja

import (
	"cmp"
	"math"
	"strings"
	"unicode/utf8"
)

type expression interface{ eval(r *run) value }

type literal struct{ v value }

func (e literal) eval(*run) value { return e.v }

type variable struct {
	name string
	at   int
}

func (e *variable) eval(r *run) value {
	if v, ok := r.scope.get(e.name); ok {
		return v
	}
	return undefined{e.name}
}

// capture is what a body prints.
type capture struct{ body *[]statement }

func (e *capture) eval(r *run) (v value) {
	r.inner(r.scope, func() { v = r.capture(func() { r.all(*e.body) }) })
	return v
}

type listLiteral struct {
	items []expression
	tuple bool
}

func (e *listLiteral) eval(r *run) value {
	items := make([]value, len(e.items))
	for i, item := range e.items {
		items[i] = r.eval(item)
	}
	l := r.makeList(items)
	l.tuple = e.tuple
	return l
}

type dictLiteral struct {
	keys, values []expression
	at           int
}

func (e *dictLiteral) eval(r *run) value {
	d := &dict{}
	for i := range e.keys {
		key, ok := r.eval(e.keys[i]).(text)
		if r.at = e.at; !ok {
			r.fail("the keys of a mapping must be strings")
		}
		r.spend(len(key.s))
		d.set(key, r.eval(e.values[i]))
	}
	return d
}

type conditional struct {
	then, condition, otherwise expression // otherwise may be nil
	at                         int
}

func (e *conditional) eval(r *run) value {
	if truth(r.eval(e.condition)) {
		return r.eval(e.then)
	}
	if e.otherwise == nil {
		return undefined{"an if without else"}
	}
	return r.eval(e.otherwise)
}

type logical struct {
	left, right expression
	or          bool
}

func (e *logical) eval(r *run) value {
	if v := r.eval(e.left); truth(v) == e.or {
		return v
	}
	return r.eval(e.right)
}

type negation struct{ of expression }

func (e *negation) eval(r *run) value { return !truth(r.eval(e.of)) }

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

type sign struct {
	of    expression
	minus bool
	at    int
}

func (e *sign) eval(r *run) value {
	v := r.eval(e.of)
	r.at = e.at
	switch v := v.(type) {
	case int64:
		if e.minus {
			return -v
		}
		return v
	case float64:
		if e.minus {
			return -v
		}
		return v
	}
	r.fail("a sign before %s", typeName(v))
	return nil
}

type arithmetic struct {
	op          string
	left, right expression
	at          int
}

func (e *arithmetic) eval(r *run) value {
	a, b := r.eval(e.left), r.eval(e.right)
	r.at = e.at
	if e.op == "~" {
		return r.concat(r.show(a), r.show(b))
	}
	switch x := a.(type) {
	case text:
		if y, ok := b.(text); ok && e.op == "+" {
			return r.concat(x, y)
		}
		if n, ok := b.(int64); ok && e.op == "*" {
			return r.repeat(x, n)
		}
	case *list:
		if y, ok := b.(*list); ok && e.op == "+" {
			if len(x.items)+len(y.items) > maxItems {
				r.fail("makes a list of more than %d items", maxItems)
			}
			return r.makeList(append(append([]value{}, x.items...), y.items...))
		}
	}
	if x, ok := whole(a); ok {
		if y, ok := whole(b); ok {
			return r.integers(e.op, x, y)
		}
	}
	x, ok := number(a)
	y, both := number(b)
	if !ok || !both {
		r.fail("%s %s %s: no such operation", typeName(a), e.op, typeName(b))
	}
	return r.floats(e.op, x, y)
}

func (r *run) repeat(t text, n int64) text {
	n = max(n, 0)
	if len(t.s) > 0 && n > MaxOutput/int64(len(t.s)) {
		r.fail("makes a text of more than %d bytes", MaxOutput)
	}
	r.spend(len(t.s) * int(n))
	return text{strings.Repeat(t.s, int(n)), strings.Repeat(t.from, int(n))}
}

func (r *run) integers(op string, x, y int64) value {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "//", "%":
		if y == 0 {
			r.fail("division by zero")
		}
		if y == -1 {
			if op == "%" {
				return int64(0)
			}
			return -x
		}
		q, m := x/y, x%y
		if m != 0 && (m < 0) != (y < 0) { // rounds down
			q, m = q-1, m+y
		}
		if op == "%" {
			return m
		}
		return q
	case "**":
		if p := math.Pow(float64(x), float64(y)); y >= 0 && math.Abs(p) < 1<<53 {
			return int64(p)
		}
	}
	return r.floats(op, float64(x), float64(y))
}

func (r *run) floats(op string, x, y float64) value {
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "**":
		return math.Pow(x, y)
	}
	if y == 0 {
		r.fail("division by zero")
	}
	switch op {
	case "//":
		return math.Floor(x / y)
	case "%":
		return x - y*math.Floor(x/y)
	}
	return x / y
}

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

// arguments of a call.
type arguments struct {
	pos   []value
	named map[string]value
}

type argumentList struct {
	pos   []expression
	names []string
	named []expression
}

func (l *argumentList) eval(r *run) arguments {
	var a arguments
	for _, e := range l.pos {
		a.pos = append(a.pos, r.eval(e))
	}
	for i, e := range l.named {
		if a.named == nil {
			a.named = map[string]value{}
		}
		a.named[l.names[i]] = r.eval(e)
	}
	return a
}

type call struct {
	of        expression
	arguments argumentList
	at        int
}

func (e *call) eval(r *run) value {
	f, ok := r.eval(e.of).(function)
	if r.at = e.at; !ok {
		switch of := e.of.(type) {
		case *attribute:
			r.fail("there is no method %q here", of.name)
		case *variable:
			r.fail("%s is no function", of.name)
		}
		r.fail("not a function")
	}
	a := e.arguments.eval(r)
	r.at = e.at
	return f(r, a)
}

type filterCall struct {
	name      string
	apply     func(r *run, v value, a arguments) value
	value     expression
	arguments argumentList
	at        int
}

func (e *filterCall) eval(r *run) value {
	v, a := r.eval(e.value), e.arguments.eval(r)
	r.at = e.at
	return e.apply(r, v, a)
}

type testCall struct {
	name      string
	apply     func(r *run, v value, a arguments) bool
	value     expression
	arguments argumentList
	at        int
}

func (e *testCall) eval(r *run) value {
	v, a := r.eval(e.value), e.arguments.eval(r)
	r.at = e.at
	return e.apply(r, v, a)
}
