package jinja

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

type filter = func(r *run, v value, a arguments) value

// filters are what may stand behind "|".
var filters = map[string]filter{
	"trim":       func(r *run, v value, a arguments) value { return strip(r, r.show(v), a, true, true) },
	"upper":      ofText(upperText),
	"lower":      ofText(lowerText),
	"title":      ofText(titleText),
	"capitalize": ofText(capitalizeText),
	"string":     func(r *run, v value, _ arguments) value { return r.show(v) },
	"safe":       func(_ *run, v value, _ arguments) value { return v },
	"length":     length, "count": length,
	"default": otherwise, "d": otherwise,
	"replace": func(r *run, v value, a arguments) value {
		return replace(r, r.show(v), r.show(a.get(0, "s", nil)), r.show(a.get(1, "r", nil)), r.integer("replace", a.get(2, "count", int64(-1))))
	},
	"join": func(r *run, v value, a arguments) value {
		if by := a.get(1, "attribute", nil); by != nil {
			v = r.makeList(r.attributes(v, by))
		}
		return join(r, v, r.show(a.get(0, "d", text{})))
	},
	"int":        toInt,
	"float":      toFloat,
	"abs":        absolute,
	"list":       func(r *run, v value, _ arguments) value { return r.makeList(slices.Clone(r.items(v))) },
	"items":      itemsOf,
	"first":      func(r *run, v value, _ arguments) value { return end(r.items(v), 0) },
	"last":       func(r *run, v value, _ arguments) value { items := r.items(v); return end(items, len(items)-1) },
	"reverse":    reverse,
	"unique":     unique,
	"sort":       sorted,
	"dictsort":   dictSort,
	"indent":     indent,
	"tojson":     toJSON,
	"map":        mapFilter,
	"select":     choose("select", false, true),
	"reject":     choose("reject", false, false),
	"selectattr": choose("selectattr", true, true),
	"rejectattr": choose("rejectattr", true, false),
}

func ofText(f func(*run, text) text) filter {
	return func(r *run, v value, _ arguments) value { return f(r, r.show(v)) }
}

func length(r *run, v value, _ arguments) value {
	switch v := v.(type) {
	case text:
		r.spend(len(v.s))
		return int64(utf8.RuneCountInString(v.s))
	case undefined:
		return int64(0)
	case *list:
		return int64(len(v.items))
	case *dict:
		return int64(len(v.keys))
	}
	return wrongType(r, "length", v)
}

// otherwise is default: its argument where v is undefined or, if asked, is false.
func otherwise(_ *run, v value, a arguments) value {
	if _, no := v.(undefined); no || truth(a.get(1, "boolean", false)) && !truth(v) {
		return a.get(0, "default_value", text{})
	}
	return v
}

func dictSort(r *run, v value, _ arguments) value {
	d, ok := v.(*dict)
	if !ok {
		return wrongType(r, "dictsort", v)
	}
	l := r.pairs(d)
	slices.SortStableFunc(l.items, func(a, b value) int {
		r.step()
		return r.order(a.(*list).items[0], b.(*list).items[0])
	})
	return l
}

func end(items []value, i int) value {
	if i < 0 || i >= len(items) {
		return undefined{"an item of an empty list"}
	}
	return items[i]
}

func reversed(items []value) []value {
	items = slices.Clone(items)
	slices.Reverse(items)
	return items
}

func reverse(r *run, v value, _ arguments) value {
	l := r.makeList(reversed(r.items(v)))
	if _, ok := v.(text); ok {
		return join(r, l, text{})
	}
	return l
}

func unique(r *run, v value, _ arguments) value {
	var kept []value
	for _, item := range r.items(v) {
		if !slices.ContainsFunc(kept, func(k value) bool { return r.equal(k, item) }) {
			kept = append(kept, item)
		}
	}
	return r.makeList(kept)
}

func sorted(r *run, v value, a arguments) value {
	items := slices.Clone(r.items(v))
	by := a.get(3, "attribute", nil)
	key := func(v value) value {
		if by == nil {
			return v
		}
		return r.attribute(v, by)
	}
	slices.SortStableFunc(items, func(a, b value) int { r.step(); return r.order(key(a), key(b)) })
	if truth(a.get(0, "reverse", false)) {
		slices.Reverse(items)
	}
	return r.makeList(items)
}

func itemsOf(r *run, v value, _ arguments) value {
	switch v := v.(type) {
	case *dict:
		return r.pairs(v)
	case undefined:
		return r.makeList(nil)
	}
	return wrongType(r, "items", v)
}

func toInt(r *run, v value, a arguments) value {
	switch v := v.(type) {
	case int64:
		return v
	case text:
		r.spend(len(v.s))
		if n, err := strconv.ParseInt(strings.TrimSpace(v.s), 10, 64); err == nil {
			return n
		}
		if x, err := strconv.ParseFloat(strings.TrimSpace(v.s), 64); err == nil && math.Abs(x) < 1<<62 {
			return int64(x)
		}
	default:
		if x, ok := number(v); ok && math.Abs(x) < 1<<62 {
			return int64(x)
		}
	}
	return a.get(0, "default", int64(0))
}

func toFloat(r *run, v value, a arguments) value {
	if t, ok := v.(text); ok {
		r.spend(len(t.s))
		if x, err := strconv.ParseFloat(strings.TrimSpace(t.s), 64); err == nil {
			return x
		}
	} else if x, ok := number(v); ok {
		return x
	}
	return a.get(0, "default", 0.0)
}

func absolute(r *run, v value, _ arguments) value {
	switch v := v.(type) {
	case int64:
		return max(v, -v)
	case float64:
		return math.Abs(v)
	}
	return wrongType(r, "abs", v)
}

// indent puts spaces before every line but the first.
func indent(r *run, v value, a arguments) value {
	width, ok := a.get(0, "width", int64(4)).(text)
	if !ok {
		width = r.repeat(fromTemplate(" "), r.integer("indent", a.get(0, "width", int64(4))))
	}
	var b builder
	t := r.show(v)
	first, blank := truth(a.get(1, "first", false)), truth(a.get(2, "blank", false))
	for i := 0; t.s != ""; i++ {
		r.step()
		n := strings.IndexByte(t.s, '\n') + 1
		if n == 0 {
			n = len(t.s)
		}
		if (i > 0 || first) && (blank || t.s[:n] != "\n") {
			r.write(&b, width)
		}
		r.write(&b, t.slice(0, n))
		t = t.slice(n, len(t.s))
	}
	return b.text()
}

// attribute returns what by names of v: "a.b", or a number.
func (r *run) attribute(v, by value) value {
	name, ok := by.(text)
	if !ok {
		return r.eval(&item{value: literal{v}, index: literal{by}, at: r.at})
	}
	for part := range strings.SplitSeq(name.s, ".") {
		v = r.eval(&item{value: literal{v}, index: literal{fromTemplate(part)}, at: r.at})
	}
	return v
}

func (r *run) attributes(v, by value) (items []value) {
	for _, item := range r.items(v) {
		items = append(items, r.attribute(item, by))
	}
	return items
}

// mapFilter is map(attribute="x") or map("filter", arguments).
func mapFilter(r *run, v value, a arguments) value {
	if by, ok := a.named["attribute"]; ok {
		items := r.attributes(v, by)
		if absent, ok := a.named["default"]; ok {
			for i := range items {
				if _, no := items[i].(undefined); no {
					items[i] = absent
				}
			}
		}
		return r.makeList(items)
	}
	if len(a.pos) == 0 {
		r.fail("map: want a filter or attribute=")
	}
	f := r.filters[r.string("map", a.pos[0]).s]
	if f == nil {
		r.fail("map: no filter is called %.40q", r.show(a.pos[0]).s)
	}
	defer r.call()()
	var items []value
	for _, item := range r.items(v) {
		r.step()
		items = append(items, f(r, item, arguments{a.pos[1:], a.named}))
	}
	return r.makeList(items)
}

// choose is select, reject, selectattr and rejectattr: items of which a test of them, or of one of their
// attributes, is as wanted.
func choose(name string, byAttribute, wanted bool) filter {
	return func(r *run, v value, a arguments) value {
		pos := a.pos
		of := func(v value) value { return v }
		if byAttribute {
			if len(pos) == 0 {
				r.fail("%s: want an attribute", name)
			}
			by := pos[0]
			of = func(v value) value { return r.attribute(v, by) }
			pos = pos[1:]
		}
		test := func(_ *run, v value, _ arguments) bool { return truth(v) }
		if len(pos) > 0 {
			if test = tests[testName(r.string(name, pos[0]).s)]; test == nil {
				r.fail("%s: no test is called %.40q", name, r.show(pos[0]).s)
			}
			pos = pos[1:]
		}
		var kept []value
		for _, item := range r.items(v) {
			r.step()
			if test(r, of(item), arguments{pos, a.named}) == wanted {
				kept = append(kept, item)
			}
		}
		return r.makeList(kept)
	}
}

// testName lets operators name tests.
func testName(s string) string {
	if name, ok := map[string]string{"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}[s]; ok {
		return name
	}
	return s
}
