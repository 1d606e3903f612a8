package task

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

var hellaswagLayouts = []layout{{
	is: "the original, Hugging Face's", keys: []string{"activity_label", "ctx_a", "ctx_b", "endings"},
	item: of(func(o *struct {
		Activity string `json:"activity_label"`
		CtxA     string `json:"ctx_a"`
		CtxB     string `json:"ctx_b"`
		Endings  []string
		Label    number
	}) (Item, error) {
		i := Item{Question: clean(o.Activity + ": " + o.CtxA + " " + capitalize(o.CtxB))}
		for _, e := range o.Endings {
			i.Choices = append(i.Choices, clean(e))
		}
		var err error
		i.Gold, err = o.Label.from(0, len(i.Choices))
		return i, err
	}),
}}

var notes = regexp.MustCompile(`\[.*?\]`)

// clean takes WikiHow's markup out of a text, as the harness does.
func clean(text string) string {
	text = strings.TrimFunc(text, isSpace)
	text = strings.ReplaceAll(text, " [title]", ". ")
	text = notes.ReplaceAllString(text, "")
	return strings.ReplaceAll(text, "  ", " ")
}

// capitalize is Python's: the first letter is upper case, all others are lower case.
func capitalize(text string) string {
	first, n := utf8.DecodeRuneInString(text)
	if n == 0 {
		return ""
	}
	return string(unicode.ToTitle(first)) + strings.ToLower(text[n:])
}

// readSixLines reads items that were cleaned before: a line of context, one of the label, four endings.
func (t *Task) readSixLines(path string, file []byte) ([]Item, error) {
	const n = 6
	lines := strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(file), "\r\n", "\n"), "\n"), "\n")
	var items []Item
	for at := 0; at < len(lines); at += n {
		if len(lines)-at < n {
			return nil, fmt.Errorf("%s:%d: the last item has %d of %d lines (context, label, 4 endings): is the file truncated?", path, at+1, len(lines)-at, n)
		}
		item := Item{Question: lines[at], Choices: lines[at+2 : at+n : at+n]}
		var err error
		if item.Gold, err = strconv.Atoi(lines[at+1]); err != nil || item.Gold < 0 || item.Gold > 3 {
			return nil, fmt.Errorf("%s:%d: %.60q, want a label 0 to 3: items of 6 lines (context, label, 4 endings), or JSON, %v",
				path, at+2, lines[at+1], &hellaswagLayouts[0])
		}
		if err := t.check(&item); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, at+1, err)
		}
		items = append(items, item)
	}
	return items, nil
}
