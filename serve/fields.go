package serve

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// fields reads the members of a request one by one. The first that is wrong is kept in err, and every reader
// after it returns its default, so that a request reads as a list of its fields. null counts as absent.
type fields struct {
	members map[string]json.RawMessage
	err     *apiError
}

func (f *fields) fail(name, format string, args ...any) {
	if f.err == nil {
		f.err = badParam(name, format, args...)
	}
}

// raw returns the member called name, or nil where there is nothing to read.
func (f *fields) raw(name string) json.RawMessage {
	v := f.members[name]
	if f.err != nil || v == nil || v[0] == 'n' {
		return nil
	}
	return v
}

func (f *fields) has(name string) bool { return f.raw(name) != nil }

func (f *fields) bool(name string) bool {
	v := f.raw(name)
	if v == nil {
		return false
	}
	if v[0] != 't' && v[0] != 'f' {
		f.fail(name, "%s: want true or false, got %s", name, kindOf(v))
	}
	return v[0] == 't'
}

func (f *fields) string(name string) string {
	v := f.raw(name)
	if v == nil {
		return ""
	}
	s, ok := asString(v)
	if !ok {
		f.fail(name, "%s: want a string, got %s", name, kindOf(v))
	}
	return s
}

// int reads a whole number in least..most.
func (f *fields) int(name string, absent, least, most int64) int64 {
	v := f.raw(name)
	if v == nil {
		return absent
	}
	if !isNumber(v) {
		f.fail(name, "%s: want an integer, got %s", name, kindOf(v))
		return absent
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	switch {
	case err != nil && isInteger(v), err == nil && (n < least || n > most):
		f.fail(name, "%s: want an integer in %d..%d, got %.30s", name, least, most, v)
	case err != nil:
		f.fail(name, "%s: want an integer, got %.30s", name, v)
	default:
		return n
	}
	return absent
}

// float reads a number in least..most.
func (f *fields) float(name string, absent, least, most float64) float64 {
	v := f.raw(name)
	if v == nil {
		return absent
	}
	if !isNumber(v) {
		f.fail(name, "%s: want a number, got %s", name, kindOf(v))
		return absent
	}
	x, err := strconv.ParseFloat(string(v), 64)
	if err != nil || x < least || x > most {
		f.fail(name, "%s: want a number from %g to %g, got %.30s", name, least, most, v)
		return absent
	}
	return x
}

// object reads an object of at most so many members, nil where there is none.
func (f *fields) object(name string, most int) map[string]json.RawMessage {
	v := f.raw(name)
	if v == nil {
		return nil
	}
	if v[0] != '{' {
		f.fail(name, "%s: want an object, got %s", name, kindOf(v))
		return nil
	}
	members := membersOf(v)
	if len(members) > most {
		f.fail(name, "%s: %d members, at most %d", name, len(members), most)
		return nil
	}
	return members
}

// membersOf returns the members of the object v.
func membersOf(v json.RawMessage) map[string]json.RawMessage {
	w := walker{data: v}
	members, _ := w.object() // the whole request was walked before
	return members
}

// kindOf names the type of a JSON value.
func kindOf(v json.RawMessage) string {
	switch v[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

func isNumber(v json.RawMessage) bool { return v[0] == '-' || '0' <= v[0] && v[0] <= '9' }

func isInteger(v json.RawMessage) bool { return !bytes.ContainsAny(v, ".eE") }

func asString(v json.RawMessage) (s string, ok bool) {
	if len(v) == 0 || v[0] != '"' {
		return "", false
	}
	s, err := unquoted(v)
	return s, err == nil
}

// eachItem calls item with the elements of the array v until it returns false. It says whether v is an array.
func eachItem(v json.RawMessage, item func(json.RawMessage) bool) bool {
	if v[0] != '[' {
		return false
	}
	w := walker{data: v}
	_ = w.array(item) // the whole request was walked before
	return true
}
