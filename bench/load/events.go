package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxLine is the longest line of a stream; chunks have some hundred bytes.
const maxLine = 256 << 10

// events reads server-sent events as far as OpenAI's API uses them: their data.
type events struct {
	r    *bufio.Reader
	data []byte
}

func newEvents(r io.Reader) *events { return &events{r: bufio.NewReaderSize(r, maxLine)} }

// next returns the data of the next event, valid until the next call. At the end the error
// is io.EOF, or io.ErrUnexpectedEOF where the stream ends within an event.
func (e *events) next() ([]byte, error) {
	e.data = e.data[:0]
	lines := 0 // of data
	for {
		line, err := e.r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%w: a line of more than %d bytes", errStrange, maxLine)
		case err == io.EOF && (lines > 0 || len(line) > 0):
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
		line = bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
		if len(line) == 0 {
			if lines > 0 {
				return e.data, nil
			}
			continue
		}
		value, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			continue // a comment, or a field that says nothing here
		}
		if lines++; lines > 1 {
			e.data = append(e.data, '\n')
		}
		e.data = append(e.data, bytes.TrimPrefix(value, []byte(" "))...)
	}
}
