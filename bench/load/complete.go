package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"
)

// Kinds of errors, beside "HTTP 429" and the like.
const (
	kindConnect = "no connection"
	kindClosed  = "no answer" // the connection ended before one
	kindTimeout = "timeout"
	kindBroken  = "broken stream"   // it ended before data: [DONE]
	kindFailed  = "error in stream" // the server said so, after status 200
	kindStrange = "strange answer"  // none of OpenAI's API
)

// errStrange is what a stream cannot hold.
var errStrange = errors.New("no stream of OpenAI's API")

// chunk is what matters of an event.
type chunk struct {
	Choices []struct {
		Text  string
		Delta struct {
			Content   string
			Reasoning string `json:"reasoning_content"`
		}
		Finish string `json:"finish_reason"`
	}
	Usage *struct {
		Prompt  int `json:"prompt_tokens"`
		Output  int `json:"completion_tokens"`
		Details struct {
			Cached int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	}
	Error json.RawMessage
}

// complete sends r and reads the answer. Times are measured from epoch. token is called
// for each chunk that has text.
func (c *client) complete(ctx context.Context, r *request, epoch time.Time, token func()) (s Sample) {
	path, b := c.encode(r)
	now := func() float64 { return time.Since(epoch).Seconds() }
	s = Sample{Start: now(), Input: r.input, Prefix: r.prefix}
	if r.due > 0 { // whoever waits does so since then
		s.Start, s.Late = r.due.Seconds(), max(0, s.Start-r.due.Seconds())
	}
	timed, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	defer func() { s.End = now() }()
	resp, again, err := c.start(timed, http.MethodPost, path, b)
	s.Again = again
	if err != nil {
		if s.fail(err); s.Error == kindBroken {
			s.Error = kindClosed
		}
		return s
	}
	defer resp.Body.Close()
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		s.Error, s.Detail, s.RetryAfter = fmt.Sprintf("HTTP %d", resp.StatusCode), firstLine(b), resp.Header.Get("Retry-After")
		if resp.StatusCode == http.StatusOK {
			s.Error, s.Detail = kindStrange, fmt.Sprintf("content type %q, want text/event-stream: %s", kind, s.Detail)
		}
		if err != nil && timed.Err() != nil {
			s.fail(err)
		}
		return s
	}
	if err := s.read(newEvents(resp.Body), now, token); err != nil {
		s.fail(err)
		return s
	}
	// Reading to the end gives the connection back.
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxLine)); err != nil {
		s.fail(err)
	}
	return s
}

// read reads a stream to its data: [DONE].
func (s *Sample) read(e *events, now func() float64, token func()) error {
	for {
		data, err := e.next()
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return fmt.Errorf("%w: no data: [DONE] after %d chunks", io.ErrUnexpectedEOF, len(s.Chunks))
		}
		if err != nil {
			return err
		}
		at := now()
		if string(data) == "[DONE]" {
			break
		}
		var v chunk
		if err := json.Unmarshal(data, &v); err != nil {
			return fmt.Errorf("%w: %.200q: %w", errStrange, data, err)
		}
		if len(v.Error) > 0 && string(v.Error) != "null" {
			s.Error, s.Detail = kindFailed, firstLine(data)
			return nil
		}
		if u := v.Usage; u != nil {
			s.Input, s.Output, s.Cached, s.Usage = u.Prompt, u.Output, u.Details.Cached, true
		}
		for _, one := range v.Choices {
			if one.Text != "" || one.Delta.Content != "" || one.Delta.Reasoning != "" {
				s.Chunks = append(s.Chunks, at)
				token()
			}
			if one.Finish != "" {
				s.Finish = one.Finish
			}
		}
	}
	if !s.Usage {
		s.Output = len(s.Chunks)
	}
	if len(s.Chunks) == 0 && s.Finish == "" { // a model may have nothing to say
		return fmt.Errorf("%w: neither text nor a finish_reason", errStrange)
	}
	return nil
}

// fail sorts what came of a request.
func (s *Sample) fail(err error) {
	s.Detail = err.Error()
	var op *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		s.Error = kindTimeout
	case errors.Is(err, errStrange):
		s.Error = kindStrange
	case errors.As(err, &op) && op.Op == "dial":
		s.Error = kindConnect
	default:
		s.Error = kindBroken
	}
}

// firstLine returns what an error's body says: OpenAI's message, or its first line.
func firstLine(b []byte) string {
	var v struct {
		Error   json.RawMessage
		Message string
	}
	if json.Unmarshal(b, &v) == nil {
		var inner struct{ Message string }
		if json.Unmarshal(v.Error, &inner); inner.Message != "" {
			v.Message = inner.Message
		}
		if v.Message != "" {
			b = []byte(v.Message)
		}
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return fmt.Sprintf("%.300s", line)
}
