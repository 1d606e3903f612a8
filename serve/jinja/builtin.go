package jinja

import (
	"maps"
	"slices"
	"time"
)

// functions are those that every template has.
var functions = map[string]value{
	"range":           function(rangeOf),
	"namespace":       function(newNamespace),
	"dict":            function(newDict),
	"raise_exception": function(raise),
}

// raise lets a template refuse its messages.
func raise(r *run, a arguments) value {
	e := failure(r.at, "refused")
	e.Raised = true
	if len(a.pos) > 0 {
		e.Message = r.show(a.pos[0]).s
	}
	panic(e)
}

func rangeOf(r *run, a arguments) value {
	bounds := [3]int64{0, 0, 1}
	switch len(a.pos) {
	case 1:
		bounds[1] = r.integer("range", a.pos[0])
	case 2, 3:
		for i, v := range a.pos {
			bounds[i] = r.integer("range", v)
		}
	default:
		r.fail("range: want one to three numbers")
	}
	from, to, step := bounds[0], bounds[1], bounds[2]
	if step == 0 {
		r.fail("range: the step is 0")
	}
	var items []value
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		if len(items) == maxItems || i+step > i != (step > 0) {
			r.fail("makes a list of more than %d items", maxItems)
		}
		items = append(items, i)
	}
	return r.makeList(items)
}

func newNamespace(r *run, a arguments) value {
	ns := &namespace{map[string]value{}}
	for _, v := range a.pos {
		if d, ok := v.(*dict); ok {
			for key, v := range d.values {
				r.step()
				ns.values[key] = v
			}
		}
	}
	maps.Copy(ns.values, a.named)
	return ns
}

func newDict(r *run, a arguments) value {
	d := &dict{}
	for _, name := range slices.Sorted(maps.Keys(a.named)) {
		d.set(fromTemplate(name), a.named[name])
	}
	return d
}

// integer takes an argument of what is called name.
func (r *run) integer(name string, v value) int64 {
	n, ok := v.(int64)
	if !ok {
		r.fail("%s: want a whole number, got %s", name, typeName(v))
	}
	return n
}

// string takes an argument of what is called name.
func (r *run) string(name string, v value) text {
	t, ok := v.(text)
	if !ok {
		r.fail("%s: want a string, got %s", name, typeName(v))
	}
	return t
}

// get returns argument i, which may be named instead, or absent.
func (a arguments) get(i int, name string, absent value) value {
	if i < len(a.pos) {
		return a.pos[i]
	}
	if v, ok := a.named[name]; ok {
		return v
	}
	return absent
}

// strftime writes now as its argument says, in C's letters.
func strftime(r *run, a arguments, now time.Time) value {
	if len(a.pos) != 1 {
		r.fail("strftime_now: want one format")
	}
	format := r.string("strftime_now", a.pos[0])
	layouts := map[byte]string{'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'b': "Jan", 'h': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday",
		'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM", 'Z': "MST", 'z': "-0700", 'j': "002", 'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04"}
	var b builder
	for i := 0; i < len(format.s); i++ {
		c := format.s[i]
		if c != '%' {
			r.write(&b, format.slice(i, i+1))
			continue
		}
		if i++; i == len(format.s) {
			break
		}
		layout, ok := layouts[format.s[i]]
		switch {
		case format.s[i] == '%':
			r.write(&b, fromTemplate("%"))
		case ok:
			r.write(&b, fromTemplate(now.Format(layout)))
		default:
			r.fail("strftime_now: %%%c is not supported", format.s[i])
		}
	}
	return b.text()
}

// tests are what may stand behind "is".
var tests = map[string]func(r *run, v value, a arguments) bool{
	"defined":   func(_ *run, v value, _ arguments) bool { _, no := v.(undefined); return !no },
	"undefined": func(_ *run, v value, _ arguments) bool { _, yes := v.(undefined); return yes },
	"none":      func(_ *run, v value, _ arguments) bool { return v == nil },
	"boolean":   isA[bool],
	"string":    isA[text],
	"integer":   isA[int64],
	"float":     isA[float64],
	"mapping":   isA[*dict],
	"callable":  isA[function],
	"true":      func(_ *run, v value, _ arguments) bool { return v == value(true) },
	"false":     func(_ *run, v value, _ arguments) bool { return v == value(false) },
	"number": func(_ *run, v value, _ arguments) bool {
		_, ok := number(v)
		return ok
	},
	"sequence": isSequence, "iterable": isSequence,
	"odd":  func(r *run, v value, _ arguments) bool { return r.integer("odd", v)&1 == 1 },
	"even": func(r *run, v value, _ arguments) bool { return r.integer("even", v)&1 == 0 },
	"divisibleby": func(r *run, v value, a arguments) bool {
		return r.integers("%", r.integer("divisibleby", v), r.integer("divisibleby", a.get(0, "num", nil))) == value(int64(0))
	},
	"in": compareTest("in"),
	"eq": compareTest("=="), "equalto": compareTest("=="), "ne": compareTest("!="),
	"lt": compareTest("<"), "lessthan": compareTest("<"), "le": compareTest("<="),
	"gt": compareTest(">"), "greaterthan": compareTest(">"), "ge": compareTest(">="),
	"lower": func(r *run, v value, _ arguments) bool { t := r.show(v); return lowerText(r, t).s == t.s },
	"upper": func(r *run, v value, _ arguments) bool { t := r.show(v); return upperText(r, t).s == t.s },
}

func isA[T any](_ *run, v value, _ arguments) bool {
	_, ok := v.(T)
	return ok
}

// isSequence says whether v has items. In Jinja undefined is iterable, and no sequence; no template asks.
func isSequence(_ *run, v value, _ arguments) bool {
	switch v.(type) {
	case text, *list, *dict, undefined:
		return true
	}
	return false
}

func compareTest(op string) func(*run, value, arguments) bool {
	return func(r *run, v value, a arguments) bool {
		if len(a.pos) != 1 {
			r.fail("a test wants something to compare with")
		}
		return r.compare(op, v, a.pos[0])
	}
}

// dictMethods are those that change nothing.
var dictMethods = map[string]func(r *run, d *dict, a arguments) value{
	"get": func(r *run, d *dict, a arguments) value {
		if v, ok := r.member(d.values, a.get(0, "key", nil)); ok {
			return v
		}
		return a.get(1, "default", nil)
	},
	"keys": func(r *run, d *dict, _ arguments) value { return r.makeList(r.items(d)) },
	"values": func(r *run, d *dict, _ arguments) value {
		var items []value
		for _, key := range d.keys {
			items = append(items, d.values[key.s])
		}
		return r.makeList(items)
	},
	"items": func(r *run, d *dict, _ arguments) value { return r.pairs(d) },
}

// pairs returns the members of d as pairs.
func (r *run) pairs(d *dict) *list {
	var items []value
	for _, key := range d.keys {
		r.step()
		items = append(items, &list{[]value{key, d.values[key.s]}, true})
	}
	return r.makeList(items)
}

func wrongType(r *run, name string, v value) value {
	r.fail("%s: cannot be applied to %s", name, typeName(v))
	return nil
}
