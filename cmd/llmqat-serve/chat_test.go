package main

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format/qat"
)

// withTemplate writes the demo model with a chat template.
func withTemplate(t *testing.T, src string) (path string) {
	t.Helper()
	f, err := qat.Open(filepath.Join("demo", "stories260K.qat"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := *f.Header()
	h.ChatTemplate = src
	path = filepath.Join(t.TempDir(), "m.qat")
	w, err := qat.Create(path, &h)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for _, x := range w.Tensors() {
		if x.Kind() == qat.Tokenizer {
			continue
		}
		from, _ := f.Tensor(x.Name)
		if err := w.Write(x.Name, f.Data(from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	return path
}

// A model answers by its file's template, by the flag's before it, and where the file's is broken it still completes.
func TestChatTemplates(t *testing.T) {
	const own, broken = "{% for m in messages %}{{ m.content }}{% endfor %}", "{% for m in messages %}"
	for _, c := range []struct {
		template, flag, log, answer string
		status                      int
	}{
		{own, "", "ready", `"content":", there was a little`, 200},
		{"", "", "ready", "--chat-template", 400},
		{broken, "", "want else or endfor", "--chat-template", 400},
		{broken, " --chat-template zephyr", "ready", `"role":"assistant"`, 200},
	} {
		p := start(t, "--model "+withTemplate(t, c.template)+" --threads 1"+c.flag)
		p.until(t, c.log)
		if c.log != "ready" {
			p.until(t, "ready")
		}
		resp, err := http.Post(p.url+"/v1/chat/completions", "application/json",
			strings.NewReader(`{"messages":[{"role":"user","content":"Once upon a time"}],"max_tokens":8,"temperature":0}`))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || !strings.Contains(string(data), c.answer) {
			t.Errorf("%q%s: status %d, %v: %s", c.template, c.flag, resp.StatusCode, err, data)
		}
		p.complete(t, `{"prompt":"x","max_tokens":1}`)
		_ = p.Process.Kill()
		_ = p.Wait()
	}
}
