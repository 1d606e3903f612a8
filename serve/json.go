package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

const (
	maxDepth   = 32   // how deeply arrays and objects of a request may nest
	maxMembers = 4096 // names in one object
)

// parseObject returns the members of the JSON object data, as raw JSON that points into data. It refuses what
// encoding/json lets pass: a name that occurs twice in one object, at any depth, nesting beyond maxDepth, and
// objects of more than maxMembers.
func parseObject(data []byte) (map[string]json.RawMessage, error) {
	// Nesting first: the checks after it recurse.
	if err := checkDepth(data); err != nil {
		return nil, err
	}
	if !json.Valid(data) {
		return nil, describeSyntax(data)
	}
	w := walker{data: data}
	w.space()
	if w.peek() != '{' {
		return nil, errors.New("want a JSON object")
	}
	return w.object()
}

// checkDepth counts brackets outside strings; data need not be valid JSON.
func checkDepth(data []byte) error {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("JSON nested more than %d deep", maxDepth)
			}
		case '}', ']':
			depth--
		}
	}
	return nil
}

// describeSyntax says what is wrong with data, which is not JSON.
func describeSyntax(data []byte) error {
	var v json.RawMessage
	err := json.Unmarshal(data, &v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("not JSON at byte %d: %w", syntax.Offset, syntax)
	}
	return fmt.Errorf("not JSON: %v", err)
}

// walker reads JSON that is known to be valid.
type walker struct {
	data []byte
	i    int
}

func (w *walker) peek() byte { return w.data[w.i] }

func (w *walker) space() {
	for w.i < len(w.data) && (w.data[w.i] == ' ' || w.data[w.i] == '\t' || w.data[w.i] == '\n' || w.data[w.i] == '\r') {
		w.i++
	}
}

// object reads an object, of which the first byte is '{'.
func (w *walker) object() (map[string]json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	err := w.members(func(name string, value json.RawMessage) bool {
		if _, twice := members[name]; twice {
			return false
		}
		members[name] = value
		return true
	})
	return members, err
}

// skipObject reads an object for its errors only. A million small ones cost no million maps.
func (w *walker) skipObject() error {
	const few = 8
	var array [few]string
	names := array[:0]
	var more map[string]bool
	return w.members(func(name string, _ json.RawMessage) bool {
		if slices.Contains(names, name) || more[name] {
			return false
		}
		if len(names) < few {
			names = append(names, name)
			return true
		}
		if more == nil {
			more = map[string]bool{}
		}
		more[name] = true
		return true
	})
}

// members calls member with each member of an object, of which the first byte is '{'; false says that the name was
// there before.
func (w *walker) members(member func(name string, value json.RawMessage) bool) error {
	w.i++
	for n := 0; ; {
		w.space()
		switch w.peek() {
		case '}':
			w.i++
			return nil
		case ',':
			w.i++
			continue
		}
		name, err := unquoted(w.string())
		if err != nil {
			return err
		}
		if n++; n > maxMembers {
			return fmt.Errorf("more than %d names in one object", maxMembers)
		}
		w.space()
		w.i++ // ':'
		value, err := w.value()
		if err != nil {
			return err
		}
		if !member(name, value) {
			return fmt.Errorf("the name %.100q occurs twice in one object", name)
		}
	}
}

// unquoted is the text of a JSON string.
func unquoted(s []byte) (text string, err error) {
	for _, c := range s {
		if c == '\\' || c >= utf8.RuneSelf {
			err = json.Unmarshal(s, &text)
			return text, err
		}
	}
	return string(s[1 : len(s)-1]), nil
}

// value reads a value and returns its bytes.
func (w *walker) value() (json.RawMessage, error) {
	w.space()
	start := w.i
	switch w.peek() {
	case '{':
		if err := w.skipObject(); err != nil {
			return nil, err
		}
	case '[':
		if err := w.array(func(json.RawMessage) bool { return true }); err != nil {
			return nil, err
		}
	case '"':
		w.string()
	default:
		for w.i < len(w.data) && !endsScalar(w.data[w.i]) {
			w.i++
		}
	}
	return w.data[start:w.i], nil
}

// array reads an array, of which the first byte is '[', and calls item for each element until it returns false.
func (w *walker) array(item func(json.RawMessage) bool) error {
	for w.i++; ; {
		w.space()
		switch w.peek() {
		case ']':
			w.i++
			return nil
		case ',':
			w.i++
			continue
		}
		v, err := w.value()
		if err != nil || !item(v) {
			return err
		}
	}
}

// string reads a string and returns it with its quotes.
func (w *walker) string() []byte {
	start := w.i
	for w.i++; w.data[w.i] != '"'; w.i++ {
		if w.data[w.i] == '\\' {
			w.i++
		}
	}
	w.i++
	return w.data[start:w.i]
}

func endsScalar(c byte) bool {
	switch c {
	case ',', ']', '}', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}
