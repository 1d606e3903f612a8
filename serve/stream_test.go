package serve

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/llmqat/llmqat/runtime/engine"
)

var rewrite = flag.Bool("rewrite", false, "record the answers of testdata")

// golden holds answers, but for ids and times, to a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = regexp.MustCompile(`cmpl-\w+`).ReplaceAllString(got, "cmpl-ID")
	got = regexp.MustCompile(`"created":\d+`).ReplaceAllString(got, `"created":0`)
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant, as in %s\n%s", got, file, want)
	}
}

// joinTexts returns the text of choice 0 in the chunks of a stream that ended well.
func joinTexts(t *testing.T, lines []string) string {
	t.Helper()
	if len(lines) == 0 || lines[len(lines)-1] != "[DONE]" {
		t.Fatalf("the stream does not end with [DONE]: %q", lines)
	}
	text := ""
	for _, line := range lines[:len(lines)-1] {
		var a answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("chunk %q: %v", line, err)
		}
		for _, c := range a.Choices {
			if c.Index == 0 {
				text += c.Text
			}
		}
	}
	return text
}

// The bytes of a stream, but for id and time, are those of testdata/stream.txt.
func TestStreamGolden(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	var got strings.Builder
	for _, body := range []string{
		`{"prompt":"hello","stream":true}`,
		`{"prompt":"hello","stream":true,"max_tokens":1,"stream_options":{"include_usage":true}}`,
		`{"prompt":"hello","stream":true,"echo":true,"stop":" world"}`,
		`{"prompt":"hello","stream":true,"echo":true,"logprobs":1,"max_tokens":1}`,
		`{"prompt":"<hello> & \u2028","stream":true,"echo":true,"max_tokens":0}`,
	} {
		resp, data := s.do("POST", "/v1/completions", body)
		if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
			t.Errorf("content type %q", ct)
		}
		got.WriteString("> " + body + "\n" + string(data))
	}
	golden(t, "stream.txt", got.String())
}

// Every token reaches the client before the next one exists.
func TestEveryTokenIsFlushed(t *testing.T) {
	for name, open := range map[string]func(*testing.T, *fake, Options) *site{"memory": newSite, "tcp": newTCPSite} {
		t.Run(name, func(t *testing.T) {
			next := make(chan int32)
			s := open(t, &fake{answer: func(_ context.Context, r engine.Request, send func(engine.Event)) {
				for id := range next {
					send(token(r, id, 0))
				}
				send(done(engine.ReasonStop))
			}}, Options{})
			e := s.stream(`{"prompt":"x","stream":true}`) // answered before there is a token
			for c := 'a'; c <= 'f'; c++ {
				next <- 3 + c
				if got := e.text(); got != string(c) {
					t.Fatalf("got %q, want %q", got, string(c))
				}
			}
			close(next)
			if got := e.rest(); len(got) != 2 || got[1] != "[DONE]" {
				t.Errorf("the end: %q", got)
			}
		})
	}
}

func TestPingsWhileSilent(t *testing.T) {
	release := make(chan struct{})
	s := newSite(t, &fake{answer: func(_ context.Context, r engine.Request, send func(engine.Event)) {
		<-release
		send(done(engine.ReasonStop))
	}}, Options{PingInterval: time.Millisecond})
	e := s.stream(`{"prompt":"x","stream":true}`)
	for range 3 {
		if line, err := e.next(); line != ": ping" || err != nil {
			t.Fatalf("got %q (%v), want a ping", line, err)
		}
	}
	close(release)
	if got := e.rest(); got[len(got)-1] != "[DONE]" {
		t.Errorf("the end: %q", got)
	}
}

func TestStreamOfManyChoices(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	texts := map[int]string{}
	finished := 0
	lines := s.stream(`{"prompt":["a","b"],"n":3,"stream":true,"echo":true}`).rest()
	for _, line := range lines[:len(lines)-1] {
		var a answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		c := a.Choices[0]
		texts[c.Index] += c.Text
		if c.FinishReason != nil {
			finished++
		}
	}
	for i := range 6 {
		if want := string("ab"[i/3]) + "hello world"; texts[i] != want {
			t.Errorf("choice %d: %q, want %q", i, texts[i], want)
		}
	}
	if finished != 6 {
		t.Errorf("%d finish reasons, want 6", finished)
	}
}

// An error in the middle reaches the client as an event, and the stream does not look complete.
func TestStreamFails(t *testing.T) {
	s := newSite(t, &fake{answer: func(_ context.Context, r engine.Request, send func(engine.Event)) {
		send(token(r, 3+'a', 0))
		send(engine.Event{Kind: engine.KindDone, Err: errors.New("secret: device lost")})
	}}, Options{})
	e := s.stream(`{"prompt":"x","stream":true}`)
	if got := e.text(); got != "a" {
		t.Errorf("got %q", got)
	}
	line, _ := e.next()
	var ea errorAnswer
	if err := json.Unmarshal([]byte(line), &ea); err != nil || ea.Error == nil || ea.Error.Type != serverError || strings.Contains(line, "secret") {
		t.Errorf("got %q, want error JSON", line)
	}
	if _, err := e.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream ends with %v, want it cut", err)
	}
}
