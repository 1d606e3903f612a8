package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/runtime/device"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/serve"
)

// served is the address of a server with a model, until the test ends.
func served(t *testing.T, model string) string {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := qat.Open(model)
	must(err)
	dev, err := device.Open("cpu", 1)
	must(err)
	e, err := engine.New(f, engine.Options{Device: dev.Device, Threads: 1})
	must(err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	s := serve.New(serve.Options{Log: slog.New(slog.DiscardHandler)})
	s.SetModel(serve.Model{Name: "noise", Tokenizer: f.Header().Tokenizer, Generator: e, MaxContext: e.Info().MaxContext})
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		e.Close()
		dev.Close()
		f.Close()
	})
	return "http://" + ln.Addr().String() + "/v1"
}

// A server's scores are, to the bit, those of the model that it serves.
func TestEvalServer(t *testing.T) {
	model, _, text := evalFiles(t)
	dir := t.TempDir()
	scores := func(name string, c evalCmd) (lines []string) {
		t.Helper()
		path := filepath.Join(dir, name)
		c.taskFlags = taskFlags{Tasks: []string{"winogrande", "openbookqa"}, TaskData: tasksDir, Items: path}
		out := c.outcome(t)
		if c.URL != "" && !strings.HasPrefix(out, "noise at http://127.0.0.1:") {
			t.Errorf("%s", out)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines = strings.Split(strings.TrimSpace(string(b)), "\n")[1:]
		slices.Sort(lines)
		return lines
	}
	server := serverFlags{URL: served(t, model), Tokenizer: model}
	own := scores("own", evalCmd{Model: model})
	if got := scores("server", evalCmd{serverFlags: server}); len(own) != 8 || !slices.Equal(got, own) {
		t.Errorf("served:\n%s\nitself:\n%s", strings.Join(got, "\n"), strings.Join(own, "\n"))
	}
	nll := func(c evalCmd) float64 {
		c.textFlags, c.JSON = textFlags{Text: text, Length: 60}, true
		var report struct{ NLL struct{ Value float64 } }
		if err := json.Unmarshal([]byte(c.outcome(t)), &report); err != nil {
			t.Fatal(err)
		}
		return report.NLL.Value
	}
	// A server tells float32: eval.Scored says how far that is off.
	if a, b := nll(evalCmd{Model: model}), nll(evalCmd{serverFlags: server}); a < 1 || math.Abs(a-b) > 2e-6 {
		t.Errorf("NLL of a text: itself %v, served %v", a, b)
	}
}

func TestEvalServerFails(t *testing.T) {
	model, _, text := evalFiles(t)
	tasks := taskFlags{Tasks: []string{"piqa"}, TaskData: tasksDir}
	for _, c := range []struct {
		c    evalCmd
		says string
	}{
		{evalCmd{serverFlags: serverFlags{URL: "http://127.0.0.1:1/v1"}, taskFlags: tasks}, "by --tokenizer"},
		{evalCmd{serverFlags: serverFlags{URL: "http://127.0.0.1:1/v1", Tokenizer: text + "x"}, taskFlags: tasks}, "no such file"},
		{evalCmd{serverFlags: serverFlags{URL: "127.0.0.1", Tokenizer: model}, taskFlags: tasks}, "no server's address"},
		{evalCmd{serverFlags: serverFlags{URL: "http://127.0.0.1:1/v1", Tokenizer: model}, textFlags: textFlags{Text: text, Hash: true}}, "go with --model"},
		{evalCmd{serverFlags: serverFlags{URL: "http://127.0.0.1:1/v1", Tokenizer: model}, Teacher: model, taskFlags: tasks}, "go with --model"},
		{evalCmd{serverFlags: serverFlags{URL: "http://127.0.0.1:1/v1", Tokenizer: model, Calls: -1}, taskFlags: tasks}, "--calls -1"},
		{evalCmd{Model: model, serverFlags: serverFlags{Tokenizer: model}, taskFlags: tasks}, "give its --url"},
		{evalCmd{Model: model, serverFlags: serverFlags{Calls: 2}, taskFlags: tasks}, "give its --url"},
	} {
		var out, log bytes.Buffer
		if err := c.c.run(context.Background(), &out, &log); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: error %v, want one that says %q", c.c, err, c.says)
		}
	}
	for args, says := range map[string]string{"--tasks=piqa": "--model", "--model=a --url=b": "--url"} {
		if _, log, status := llmqat(t, nil, append([]string{"eval"}, strings.Fields(args)...)...); status == 0 || !strings.Contains(log, says) {
			t.Errorf("%s: status %d, %s", args, status, log)
		}
	}
}
