package hf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// walker reads a JSON document token by token, so that a hostile one costs no more
// memory than its bytes. Its errors say what was expected.
type walker struct{ dec *json.Decoder }

func newWalker(data []byte) walker {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return walker{dec}
}

// object reads an object and calls f for each key; f reads the value.
func (w walker) object(f func(key string) error) error {
	if err := w.delim('{'); err != nil {
		return err
	}
	for w.dec.More() {
		key, err := w.string()
		if err != nil {
			return err
		}
		if err := f(key); err != nil {
			return err
		}
	}
	return w.delim('}')
}

// array reads an array and calls f for each element; f reads it.
func (w walker) array(f func() error) error {
	if err := w.delim('['); err != nil {
		return err
	}
	for w.dec.More() {
		if err := f(); err != nil {
			return err
		}
	}
	return w.delim(']')
}

func (w walker) string() (string, error) {
	t, err := w.dec.Token()
	if err != nil {
		return "", cut(err)
	}
	if s, ok := t.(string); ok {
		return s, nil
	}
	return "", fmt.Errorf("%.40q, want a string", fmt.Sprint(t))
}

// uint reads a number from 0 to 2^63-1.
func (w walker) uint() (uint64, error) {
	t, err := w.dec.Token()
	if err != nil {
		return 0, cut(err)
	}
	if n, ok := t.(json.Number); ok {
		if v, err := strconv.ParseUint(n.String(), 10, 63); err == nil {
			return v, nil
		}
	}
	return 0, fmt.Errorf("%.40q, want a number from 0 to 2^63-1", fmt.Sprint(t))
}

// skip reads any value.
func (w walker) skip() error {
	for depth := 0; ; {
		t, err := w.dec.Token()
		if err != nil {
			return cut(err)
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// end wants no more than white space.
func (w walker) end() error {
	if t, err := w.dec.Token(); err != io.EOF {
		if err != nil {
			return err
		}
		return fmt.Errorf("%.40q after the end", fmt.Sprint(t))
	}
	return nil
}

func (w walker) delim(want json.Delim) error {
	t, err := w.dec.Token()
	if err != nil {
		return cut(err)
	}
	if t != want {
		return fmt.Errorf("%.40q, want %s", fmt.Sprint(t), want)
	}
	return nil
}

// cut says what EOF within a document means.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
