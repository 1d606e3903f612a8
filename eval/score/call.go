package score

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// statusError is an answer that is no result.
type statusError struct {
	code    int
	message string        // the server's
	after   time.Duration // that it asks to wait
}

func (e *statusError) Error() string {
	s := fmt.Sprintf("HTTP %d: %s", e.code, e.message)
	switch e.code {
	case http.StatusUnauthorized, http.StatusForbidden:
		s += ": give the server's key"
	}
	return s
}

// passing says that the same call may succeed later.
func (e *statusError) passing() bool {
	switch e.code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// Waits between tries, where the server asks for none: doubled from the first on, less a random
// part, so that calls which failed together come back apart.
const firstWait, longestWait = 200 * time.Millisecond, 30 * time.Second

// patiently makes a call until it succeeds, fails for good, or patience ends. Where the server
// has not answered yet (known is false), one that cannot be reached has failed for good.
func (s *Server) patiently(ctx context.Context, known bool, try func() error) error {
	var failed time.Time // at first
	for n := 1; ; n++ {
		err := try()
		if n == 1 {
			failed = time.Now()
		}
		var status *statusError
		var answer *answerError
		var wait time.Duration
		switch {
		case err == nil || errors.As(err, &answer):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &status):
			if !status.passing() {
				return err
			}
			wait = status.after
		case !known:
			return fmt.Errorf("%w: is the server there?", err)
		}
		backoff := min(firstWait<<min(n-1, 20), longestWait)
		wait = max(wait, backoff/2+rand.N(backoff/2))
		if wait > s.o.Patience-time.Since(failed) { // a sum may overflow: a date may be far
			return fmt.Errorf("tried %d times: %w", n, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// call makes one HTTP request and reads the answer, of up to most bytes, into v.
func (s *Server) call(ctx context.Context, method, path string, send any, most int64, v any) error {
	var b []byte
	if send != nil {
		var err error
		if b, err = json.Marshal(send); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, s.base.JoinPath(path).String(), bytes.NewReader(b))
	if err != nil {
		return err
	}
	if send != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.o.Key != "" {
		r.Header.Set("Authorization", "Bearer "+s.o.Key)
	}
	resp, err := s.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16)) // the status says enough
		return &statusError{resp.StatusCode, message(text), retryAfter(resp.Header.Get("Retry-After"))}
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, most+1)) // to its end, so that the connection is used again
	if err != nil {
		return err
	}
	if int64(len(text)) > most {
		return wrong("an answer of more than %d bytes", most)
	}
	if err := json.Unmarshal(text, v); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) { // it spells Go's types
			err = fmt.Errorf("%s: a JSON %s is not what belongs there", cmp.Or(kind.Field, "the whole"), kind.Value)
		}
		return wrong("%s answers %.60q, which cannot be read: %v: is this an OpenAI-compatible server?", path, text, err)
	}
	return nil
}

// message is what an error's body says: OpenAI's error.message, or its beginning.
func message(text []byte) string {
	var e struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
	}
	if json.Unmarshal(text, &e) == nil {
		var inner struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(e.Error, &inner) == nil && inner.Message != "" {
			return inner.Message
		}
		if e.Message != "" {
			return e.Message
		}
	}
	s := strings.TrimSpace(string(text))
	if len(s) > 300 {
		s = s[:300] + "..."
	}
	return s
}

// retryAfter reads the header: seconds, or a date.
func retryAfter(v string) time.Duration {
	if n, err := strconv.Atoi(v); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}
