package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/bench/load"
)

// answering is a server of completions that says what it is asked for.
func answering(t *testing.T, asked func(r *http.Request, body string)) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/completions" {
			http.NotFound(w, r)
			return
		}
		b, _ := io.ReadAll(r.Body)
		asked(r, string(b))
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[{\"text\":\"b\",\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// The flags and their variables reach the server, and the reports reach their files.
func TestServe(t *testing.T) {
	var keys, bodies []string
	url := answering(t, func(r *http.Request, body string) {
		keys, bodies = append(keys, r.Header.Get("Authorization")), append(bodies, body)
	})
	t.Setenv("LLMQAT_BENCH_SERVE_OUTPUT", "5")
	t.Setenv("LLMQAT_BENCH_SERVE_KEY", "k")
	out := filepath.Join(t.TempDir(), "new", "report")
	args := "--concurrency 1 --requests 2 --warmup 0 --input 3-3 --model m --vocab 10 --out " + out + " --url fake=" + url
	if _, err := serve(t.Context(), strings.Fields(args)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(keys, []string{"Bearer k", "Bearer k"}) || !strings.Contains(bodies[0], `"max_tokens":5,`) || !strings.Contains(bodies[1], `"model":"m"`) {
		t.Errorf("keys %q, bodies %q", keys, bodies)
	}
	for ext, want := range map[string]string{".json": `"level": "1 at once"`, ".txt": "fake, 1 at once", ".svg": "<svg"} {
		if b, err := os.ReadFile(out + ext); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %q: %v", ext, want, err)
		}
	}
}

func TestServeOptions(t *testing.T) {
	f := serveFlags{URL: []string{"a=http://h:1", "http://h:2"}, Model: []string{"m"}, Key: []string{"k1", "k2"}, PID: []int{7, 0}, API: "chat", Reuse: true}
	o, err := f.options()
	want := []load.Server{{Name: "a", URL: "http://h:1", Model: "m", Key: "k1", PID: 7}, {Name: "h:2", URL: "http://h:2", Model: "m", Key: "k2"}}
	if err != nil || !slices.Equal(o.Servers, want) || !o.Chat || o.NewConns || o.Rounds != 3 {
		t.Errorf("%+v, error %v", o, err)
	}
	empty := filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(empty, []byte(" \n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]serveFlags{
		"--model has 3 values for 2 servers":  {URL: f.URL, Model: []string{"a", "b", "c"}},
		"--key has 2 values for 1 servers":    {URL: f.URL[:1], Key: []string{"a", "b"}},
		"--pid has one process for 2 servers": {URL: f.URL, PID: []int{7}},
		`--url: "h:1" is no server`:           {URL: []string{"h:1"}},
		"no words in it":                      {URL: f.URL, Words: empty},
	} {
		if _, err := f.options(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// A report shows how it was made, and no key.
func TestWithoutKeys(t *testing.T) {
	got := withoutKeys([]string{"bench", "serve", "--key", "secret", "--key=secret", "--rate", "1"})
	if want := []string{"bench", "serve", "--key", "...", "--key=...", "--rate", "1"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
