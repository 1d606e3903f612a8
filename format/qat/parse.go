package qat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"
)

// entry is what a header says of one tensor, unchecked but for its form.
type entry struct {
	dtype      string
	shape      []int64
	begin, end int64
}

// parseHeader reads a safetensors header as strictly as the format allows: one value a
// key, integers that fit, nothing but what is specified. It returns the strings of
// __metadata__ and the tensors.
func parseHeader(header []byte) (map[string]string, map[string]entry, error) {
	p, err := newParser(header)
	if err != nil {
		return nil, nil, err
	}
	var meta map[string]string
	tensors := map[string]entry{}
	err = p.object(func(key string) (err error) {
		if key == "__metadata__" {
			meta, err = p.strings()
			return err
		}
		if len(tensors) == maxTensors {
			return fmt.Errorf("more than %d tensors", maxTensors)
		}
		tensors[key], err = p.entry()
		return err
	})
	if err == nil {
		err = p.end()
	}
	return meta, tensors, err
}

// sum is what the metadata say of one tensor.
type sum struct {
	shape  []int64 // as the model has it
	sha256 string
}

// parseSums reads the metadata's list of tensors: at most most.
func parseSums(text string, most int) (map[string]sum, error) {
	p, err := newParser([]byte(text))
	if err != nil {
		return nil, err
	}
	sums := make(map[string]sum, most)
	err = p.object(func(name string) error {
		if len(sums) == most {
			return fmt.Errorf("more tensors than the file's %d", most)
		}
		var s sum
		err := p.object(func(key string) (err error) {
			switch key {
			case "shape":
				s.shape, err = p.integers(maxDims)
			case "sha256":
				s.sha256, err = p.string()
			default:
				err = errors.New("want shape and sha256 alone")
			}
			return err
		})
		sums[name] = s
		return err
	})
	if err == nil {
		err = p.end()
	}
	return sums, err
}

// parser reads JSON token by token. encoding/json alone would take the last of two
// equal keys, replace broken UTF-8, and match keys whatever their case.
type parser struct{ d *json.Decoder }

func newParser(text []byte) (parser, error) {
	if !utf8.Valid(text) {
		return parser{}, errors.New("not UTF-8")
	}
	if !json.Valid(text) { // bounds the nesting, too
		return parser{}, errors.New("not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return parser{d}, nil
}

// object reads an object, calling f for each key to read its value.
func (p parser) object(f func(key string) error) error {
	if err := p.delim('{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for p.d.More() {
		key, err := p.string()
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("key %.80q stands twice", key)
		}
		seen[key] = true
		if err := f(key); err != nil {
			return fmt.Errorf("%.80q: %w", key, err)
		}
	}
	return p.delim('}')
}

func (p parser) entry() (e entry, err error) {
	fields := 0
	err = p.object(func(key string) (err error) {
		fields++
		switch key {
		case "dtype":
			e.dtype, err = p.string()
		case "shape":
			e.shape, err = p.integers(maxDims)
		case "data_offsets":
			var at []int64
			if at, err = p.integers(2); err == nil && len(at) != 2 {
				err = fmt.Errorf("%d numbers, want 2", len(at))
			} else if err == nil {
				e.begin, e.end = at[0], at[1]
			}
		default:
			err = errors.New("want dtype, shape and data_offsets alone")
		}
		return err
	})
	if err == nil && fields != 3 {
		err = errors.New("want dtype, shape and data_offsets")
	}
	return e, err
}

func (p parser) strings() (map[string]string, error) {
	const most = 64
	m := map[string]string{}
	err := p.object(func(key string) (err error) {
		if len(m) == most {
			return fmt.Errorf("more than %d keys", most)
		}
		m[key], err = p.string()
		return err
	})
	return m, err
}

func (p parser) integers(most int) ([]int64, error) {
	if err := p.delim('['); err != nil {
		return nil, err
	}
	var list []int64
	for p.d.More() {
		t, err := p.d.Token()
		if err != nil {
			return nil, err
		}
		text, ok := t.(json.Number)
		n, err := strconv.ParseUint(string(text), 10, 63)
		if !ok || err != nil {
			return nil, fmt.Errorf("%.40v, want an integer of 0 to 2^63-1", t)
		}
		if len(list) == most {
			return nil, fmt.Errorf("more than %d numbers", most)
		}
		list = append(list, int64(n))
	}
	return list, p.delim(']')
}

func (p parser) string() (string, error) {
	t, err := p.d.Token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("%.40v, want a string", t)
	}
	return s, nil
}

func (p parser) delim(want json.Delim) error {
	t, err := p.d.Token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("%.40v, want %v", t, want)
	}
	return nil
}

func (p parser) end() error {
	if t, err := p.d.Token(); err != io.EOF {
		return fmt.Errorf("%.40v after the end", t)
	}
	return nil
}

// once checks that no object within text has a key twice.
func once(text []byte) error {
	p, err := newParser(text)
	if err != nil {
		return err
	}
	const maxDepth = 16
	var value func(depth int) error
	value = func(depth int) error {
		if depth > maxDepth {
			return fmt.Errorf("nested deeper than %d", maxDepth)
		}
		t, err := p.d.Token()
		if err != nil {
			return err
		}
		var seen []string
		switch t {
		case json.Delim('{'):
			for p.d.More() {
				key, err := p.string()
				if err != nil {
					return err
				}
				seen = append(seen, key)
				if err := value(depth + 1); err != nil {
					return err
				}
			}
		case json.Delim('['):
			for p.d.More() {
				if err := value(depth + 1); err != nil {
					return err
				}
			}
		default:
			return nil
		}
		slices.Sort(seen)
		if i := len(slices.Compact(slices.Clone(seen))); i != len(seen) {
			return errors.New("a key stands twice")
		}
		_, err = p.d.Token() // the closing bracket
		return err
	}
	return value(0)
}

// unmarshal decodes a JSON string of the metadata. strict refuses what v does not
// hold, and what it holds beside: a key that is unknown, missing or null may change
// what a model computes.
func unmarshal(text string, v any, strict bool) error {
	if len(text) > maxSection {
		return fmt.Errorf("%d bytes, at most %d", len(text), maxSection)
	}
	if err := once([]byte(text)); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), v); err != nil || !strict {
		return err
	}
	var said, understood any
	if err := json.Unmarshal([]byte(text), &said); err != nil {
		return err
	}
	if err := json.Unmarshal(mustJSON(v), &understood); err != nil {
		return err
	}
	if !reflect.DeepEqual(said, understood) {
		return fmt.Errorf("%s, understood as %s", text, mustJSON(v))
	}
	return nil
}
