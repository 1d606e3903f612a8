package load

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func all(r io.Reader) (list []string, err error) {
	for e := newEvents(r); ; {
		data, err := e.next()
		if err != nil {
			return list, err
		}
		list = append(list, string(data))
	}
}

// Events come the same wherever the network cuts them.
func TestEventsCutAnywhere(t *testing.T) {
	const stream = ": ping\n\ndata: {\"a\":1}\n\nevent: x\r\ndata:two\r\ndata:  lines\r\nid: 3\r\n\r\n\n\ndata:\n\n: bye\ndata: [DONE]\n\n"
	want := []string{`{"a":1}`, "two\n lines", "", "[DONE]"}
	for cut := range len(stream) + 1 {
		r := io.MultiReader(strings.NewReader(stream[:cut]), strings.NewReader(stream[cut:]))
		if got, err := all(r); !slices.Equal(got, want) || err != io.EOF {
			t.Fatalf("cut after %d bytes: %q, %v", cut, got, err)
		}
	}
	if got, err := all(iotest.OneByteReader(strings.NewReader(stream))); !slices.Equal(got, want) || err != io.EOF {
		t.Errorf("byte by byte: %q, %v", got, err)
	}
}

// A stream that ends within an event says so.
func TestEventsEnd(t *testing.T) {
	for stream, want := range map[string]error{
		"": io.EOF, "data: 1\n\n": io.EOF, ": ping\n": io.EOF,
		"data: 1\n": io.ErrUnexpectedEOF, "data: 1": io.ErrUnexpectedEOF, "data: 1\n\ndat": io.ErrUnexpectedEOF,
		"data: " + strings.Repeat("x", maxLine) + "\n\n": errStrange,
	} {
		if _, err := all(strings.NewReader(stream)); !errors.Is(err, want) {
			t.Errorf("%.20q: %v, want %v", stream, err, want)
		}
	}
	broken := errors.New("reset")
	if _, err := all(io.MultiReader(strings.NewReader("data: 1\n"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
}
