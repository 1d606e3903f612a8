package jinja

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// textMethods are Python's, those that templates use.
var textMethods = map[string]func(r *run, t text, a arguments) value{
	"strip":      func(r *run, t text, a arguments) value { return strip(r, t, a, true, true) },
	"lstrip":     func(r *run, t text, a arguments) value { return strip(r, t, a, true, false) },
	"rstrip":     func(r *run, t text, a arguments) value { return strip(r, t, a, false, true) },
	"split":      split,
	"rsplit":     rsplit,
	"splitlines": splitLines,
	"startswith": func(r *run, t text, a arguments) value { return anyOf(r, t, a, strings.HasPrefix) },
	"endswith":   func(r *run, t text, a arguments) value { return anyOf(r, t, a, strings.HasSuffix) },
	"upper":      func(r *run, t text, _ arguments) value { return upperText(r, t) },
	"lower":      func(r *run, t text, _ arguments) value { return lowerText(r, t) },
	"title":      func(r *run, t text, _ arguments) value { return titleText(r, t) },
	"capitalize": func(r *run, t text, _ arguments) value { return capitalizeText(r, t) },
	"replace": func(r *run, t text, a arguments) value {
		return replace(r, t, r.string("replace", a.get(0, "old", nil)), r.string("replace", a.get(1, "new", nil)), r.integer("replace", a.get(2, "count", int64(-1))))
	},
	"join":  func(r *run, t text, a arguments) value { return join(r, a.get(0, "iterable", nil), t) },
	"find":  func(r *run, t text, a arguments) value { return find(r, t, a, strings.Index) },
	"rfind": func(r *run, t text, a arguments) value { return find(r, t, a, strings.LastIndex) },
	"count": func(r *run, t text, a arguments) value {
		r.spend(len(t.s))
		return int64(strings.Count(t.s, r.string("count", a.get(0, "sub", nil)).s))
	},
	"removeprefix": func(r *run, t text, a arguments) value {
		p := r.string("removeprefix", a.get(0, "prefix", nil)).s
		r.spend(len(p))
		if strings.HasPrefix(t.s, p) {
			return t.slice(len(p), len(t.s))
		}
		return t
	},
	"removesuffix": func(r *run, t text, a arguments) value {
		p := r.string("removesuffix", a.get(0, "suffix", nil)).s
		r.spend(len(p))
		if strings.HasSuffix(t.s, p) {
			return t.slice(0, len(t.s)-len(p))
		}
		return t
	},
	"isdigit": func(r *run, t text, _ arguments) value { return all(r, t, unicode.IsDigit) },
	"isalpha": func(r *run, t text, _ arguments) value { return all(r, t, unicode.IsLetter) },
	"isalnum": func(r *run, t text, _ arguments) value {
		return all(r, t, func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) })
	},
	"isspace": func(r *run, t text, _ arguments) value { return all(r, t, unicode.IsSpace) },
}

func all(r *run, t text, is func(rune) bool) value {
	r.spend(len(t.s))
	return t.s != "" && strings.IndexFunc(t.s, func(c rune) bool { return !is(c) }) < 0
}

// find returns how many characters stand before a part of t, or -1.
func find(r *run, t text, a arguments, index func(s, part string) int) value {
	r.spend(len(t.s))
	at := index(t.s, r.string("find", a.get(0, "sub", nil)).s)
	if at < 0 {
		return int64(-1)
	}
	return int64(utf8.RuneCountInString(t.s[:at]))
}

// strip takes characters off the ends: whitespace, or those of the argument.
func strip(r *run, t text, a arguments, left, right bool) value {
	r.spend(len(t.s))
	is := unicode.IsSpace
	if chars := a.get(0, "chars", nil); chars != nil {
		set := r.string("strip", chars).s
		is = func(c rune) bool {
			r.spend(len(set))
			return strings.ContainsRune(set, c)
		}
	}
	if left {
		t = t.slice(len(t.s)-len(strings.TrimLeftFunc(t.s, is)), len(t.s))
	}
	if right {
		t = t.slice(0, len(strings.TrimRightFunc(t.s, is)))
	}
	return t
}

func anyOf(r *run, t text, a arguments, has func(s, part string) bool) value {
	parts := []value{a.get(0, "prefix", nil)}
	if l, ok := parts[0].(*list); ok {
		parts = l.items
	}
	for _, p := range parts {
		part := r.string("startswith", p).s
		r.spend(len(part))
		r.step()
		if has(t.s, part) {
			return true
		}
	}
	return false
}

// split cuts t at a separator, or at whitespace, at most as often as the second argument says.
func split(r *run, t text, a arguments) value {
	most := r.integer("split", a.get(1, "maxsplit", int64(-1)))
	var items []value
	r.spend(len(t.s))
	if a.get(0, "sep", nil) == nil {
		for {
			r.step()
			t = t.slice(len(t.s)-len(strings.TrimLeftFunc(t.s, unicode.IsSpace)), len(t.s))
			if t.s == "" {
				return r.makeList(items)
			}
			i := strings.IndexFunc(t.s, unicode.IsSpace)
			if i < 0 || int64(len(items)) == most {
				return r.makeList(append(items, t))
			}
			items = append(items, t.slice(0, i))
			t = t.slice(i, len(t.s))
		}
	}
	sep := r.separator(a)
	for {
		r.step()
		i := strings.Index(t.s, sep)
		if i < 0 || int64(len(items)) == most {
			return r.makeList(append(items, t))
		}
		items = append(items, t.slice(0, i))
		t = t.slice(i+len(sep), len(t.s))
	}
}

func (r *run) separator(a arguments) string {
	sep := r.string("split", a.get(0, "sep", nil)).s
	if sep == "" {
		r.fail("split: the separator is empty")
	}
	return sep
}

// rsplit cuts from the right.
func rsplit(r *run, t text, a arguments) value {
	most := r.integer("rsplit", a.get(1, "maxsplit", int64(-1)))
	if a.get(0, "sep", nil) == nil {
		r.fail("rsplit: want a separator")
	}
	sep := r.separator(a)
	var items []value
	r.spend(len(t.s))
	for {
		r.step()
		i := strings.LastIndex(t.s, sep)
		if i < 0 || int64(len(items)) == most {
			items = append(items, t)
			return r.makeList(reversed(items))
		}
		items = append(items, t.slice(i+len(sep), len(t.s)))
		t = t.slice(0, i)
	}
}

func splitLines(r *run, t text, _ arguments) value {
	var items []value
	r.spend(len(t.s))
	for t.s != "" {
		r.step()
		i := strings.IndexByte(t.s, '\n')
		if i < 0 {
			items = append(items, t)
			break
		}
		items = append(items, t.slice(0, len(strings.TrimSuffix(t.s[:i], "\r"))))
		t = t.slice(i+1, len(t.s))
	}
	return r.makeList(items)
}

func replace(r *run, t, old, with text, most int64) value {
	var b builder
	for n := int64(0); n != most; n++ {
		i := strings.Index(t.s, old.s)
		if i < 0 {
			break
		}
		if old.s == "" { // before each character, and at the end
			if n > 0 {
				if t.s == "" {
					break
				}
				_, i = utf8.DecodeRuneInString(t.s)
			}
		}
		r.step()
		r.write(&b, t.slice(0, i))
		r.write(&b, with)
		t = t.slice(i+len(old.s), len(t.s))
	}
	r.write(&b, t)
	return b.text()
}

func join(r *run, v value, sep text) value {
	var b builder
	for i, item := range r.items(v) {
		r.step()
		if i > 0 {
			r.write(&b, sep)
		}
		r.write(&b, r.show(item))
	}
	return b.text()
}

// mapText changes t character by character.
func mapText(r *run, t text, change func(rune) rune) text {
	var b builder
	for i, c := range t.s {
		s := string(change(c))
		r.write(&b, text{s, strings.Repeat(t.from[i:i+1], len(s))})
	}
	return b.text()
}

func upperText(r *run, t text) text { return mapText(r, t, unicode.ToUpper) }
func lowerText(r *run, t text) text { return mapText(r, t, unicode.ToLower) }

func titleText(r *run, t text) text {
	inWord := false
	return mapText(r, t, func(c rune) rune {
		was := inWord
		inWord = unicode.IsLetter(c)
		if was {
			return unicode.ToLower(c)
		}
		return unicode.ToTitle(c)
	})
}

func capitalizeText(r *run, t text) text {
	first := true
	return mapText(r, t, func(c rune) rune {
		if first {
			first = false
			return unicode.ToTitle(c)
		}
		return unicode.ToLower(c)
	})
}
