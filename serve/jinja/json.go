package jinja

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// toJSON writes v as Python's json.dumps does with ensure_ascii=False, which is what Hugging Face's tojson is.
func toJSON(r *run, v value, a arguments) value {
	w := jsonWriter{r: r, item: fromTemplate(", "), colon: fromTemplate(": "), sortKeys: truth(a.get(5, "sort_keys", false))}
	switch n := a.get(0, "indent", nil).(type) {
	case int64:
		w.indented, w.item = true, fromTemplate(",")
		w.indent = r.repeat(fromTemplate(" "), n)
	case text:
		w.indented, w.item = true, fromTemplate(",")
		w.indent = n
	}
	if l, ok := a.get(2, "separators", nil).(*list); ok && len(l.items) == 2 {
		w.item, w.colon = r.show(l.items[0]), r.show(l.items[1])
	}
	w.value(v)
	return w.b.text()
}

type jsonWriter struct {
	r           *run
	b           builder
	item, colon text
	indented    bool
	indent      text
	depth       int
	sortKeys    bool
}

func (w *jsonWriter) put(s string) { w.r.write(&w.b, fromTemplate(s)) }

// line begins a line where the text is to be indented.
func (w *jsonWriter) line() {
	if w.indented {
		w.put("\n")
		for range w.depth {
			w.r.write(&w.b, w.indent)
		}
	}
}

func (w *jsonWriter) value(v value) {
	w.r.step()
	defer w.r.nest()()
	switch v := v.(type) {
	case nil:
		w.put("null")
	case bool:
		w.put(strconv.FormatBool(v))
	case int64:
		w.put(strconv.FormatInt(v, 10))
	case float64:
		w.put(floatText(v))
	case text:
		w.string(v)
	case *list:
		w.group("[", "]", len(v.items), func(i int) { w.value(v.items[i]) })
	case *dict:
		keys := v.keys
		if w.sortKeys {
			keys = slices.SortedFunc(slices.Values(keys), func(a, b text) int { return strings.Compare(a.s, b.s) })
		}
		w.group("{", "}", len(keys), func(i int) {
			w.string(keys[i])
			w.r.write(&w.b, w.colon)
			w.value(v.values[keys[i].s])
		})
	case *namespace:
		w.value(&dict{keys: textKeys(v.values), values: v.values})
	default:
		w.r.fail("tojson: cannot write %s", typeName(v))
	}
}

func textKeys(m map[string]value) (keys []text) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		keys = append(keys, fromTemplate(key))
	}
	return keys
}

func (w *jsonWriter) group(open, end string, n int, item func(i int)) {
	w.put(open)
	w.depth++
	for i := range n {
		if i > 0 {
			w.r.write(&w.b, w.item)
		}
		w.line()
		item(i)
	}
	w.depth--
	if n > 0 {
		w.line()
	}
	w.put(end)
}

func (w *jsonWriter) string(t text) {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}
	w.put(`"`)
	w.r.escaped(&w.b, t, func(c rune) string {
		if c < 0x20 && short[c] == "" {
			return fmt.Sprintf(`\u%04x`, c)
		}
		return short[c]
	})
	w.put(`"`)
}
