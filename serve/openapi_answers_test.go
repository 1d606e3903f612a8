package serve

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/runtime/engine"
)

// demo is the model that the command has in it, with its engine.
func demo(t *testing.T) Model {
	t.Helper()
	file, err := qat.Open("../cmd/llmqat-serve/demo/stories260K.qat")
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(1, "")
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(file, engine.Options{Device: dev, Threads: 1, MaxSeqs: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		dev.Close()
		file.Close()
	})
	return Model{Name: "stories260K", Tokenizer: file.Header().Tokenizer, Generator: e, Chat: testChat(t), MaxContext: e.Info().MaxContext, Created: time.Unix(1700000000, 0)}
}

// exchange is a request, the status wanted, and the schema of a stream's chunks.
type exchange struct {
	method, path, body string
	status             int
}

// good are requests that every model answers.
var good = []exchange{
	{"GET", "/health", "", 200},
	{"GET", "/ready", "", 200},
	{"GET", "/metrics", "", 200},
	{"GET", "/openapi.yaml", "", 200},
	{"GET", "/v1/models", "", 200},
	{"POST", "/tokenize", `{"content":"hello","add_special":true}`, 200},
	{"POST", "/tokenize", `{"prompt":""}`, 200},
	{"POST", "/detokenize", `{"tokens":[1,70,290]}`, 200},
	{"POST", "/detokenize", `{"tokens":[]}`, 200},
	{"POST", "/v1/completions", `{"prompt":"hello"}`, 200},
	{"POST", "/v1/completions", `{"prompt":["hello",""],"n":2,"best_of":3,"max_tokens":3,"logprobs":2,"seed":1}`, 200},
	{"POST", "/v1/completions", `{"prompt":[5,6,7],"echo":true,"logprobs":20,"max_tokens":0}`, 200},
	{"POST", "/v1/completions", `{"prompt":"hello","echo":true,"max_tokens":0}`, 200},
	{"POST", "/v1/completions", `{"prompt":"hello","stop":["o","w"],"logprobs":0,"priority":-1,"cache_salt":"s","user":"u"}`, 200},
	{"POST", "/v1/completions", `{"prompt":"hello","stream":true}`, 200},
	{"POST", "/v1/completions", `{"prompt":["hello","x"],"n":2,"stream":true,"logprobs":3,"echo":true,"max_tokens":4,"stream_options":{"include_usage":true}}`, 200},
	{"POST", "/v1/completions", `{"prompt":"hello","stream":true,"stop":"l","stream_options":{}}`, 200},
	{"POST", "/v1/chat/completions", `{"messages":[{"role":"user","content":"hello"}],"max_tokens":3}`, 200},
	{"POST", "/v1/chat/completions", `{"messages":[{"role":"system","content":[{"type":"text","text":"x"}]},{"role":"user","content":"hello"}],"n":2,"logprobs":true,"top_logprobs":3,"max_completion_tokens":3,"stop":"w"}`, 200},
	{"POST", "/v1/chat/completions", `{"messages":[{"role":"user","content":"hello"}],"n":2,"stream":true,"logprobs":true,"top_logprobs":20,"max_tokens":4,"stream_options":{"include_usage":true}}`, 200},
	{"POST", "/v1/chat/completions", `{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"he"}],"continue_final_message":true,"stream":true,"max_tokens":2}`, 200},
}

// bad are refused by every server.
var bad = []exchange{
	{"GET", "/v1/models/other", "", 404},
	{"GET", "/no/such/path", "", 404},
	{"POST", "/v1/models", "", 405},
	{"PUT", "/health", "", 405},
	{"GET", "/v1/completions", "", 405},
	{"DELETE", "/tokenize", "", 405},
	{"POST", "/v1/completions", `{"prompt":"x","model":"other"}`, 404},
	{"POST", "/tokenize", `{"content":"x","model":"other"}`, 404},
	{"POST", "/detokenize", `{"tokens":[1],"model":"other"}`, 404},
	{"POST", "/tokenize", `{}`, 400},
	{"POST", "/tokenize", `{"content":"x","prompt":"x"}`, 400},
	{"POST", "/detokenize", `{"tokens":[-1]}`, 400},
	{"POST", "/v1/completions", `{"prompt":"x","n":0}`, 400},
	{"POST", "/v1/completions", `{"prompt":"x","max_tokens":100000}`, 400},
	{"POST", "/v1/completions", ``, 400},
	{"POST", "/v1/chat/completions", `{"messages":[]}`, 400},
	{"POST", "/v1/chat/completions", `{"messages":[{"role":"user","content":"x"}],"tools":[{}]}`, 400},
	{"GET", "/v1/chat/completions", "", 405},
}

func (s *site) conform(d document, list []exchange) {
	s.t.Helper()
	for _, e := range list {
		resp, data := s.do(e.method, e.path, e.body)
		if resp.StatusCode != e.status {
			s.t.Errorf("%s %s %s: status %d, want %d: %s", e.method, e.path, e.body, resp.StatusCode, e.status, data)
		}
		d.answer(e.method, e.path, resp, data)
	}
}

// What the server says is what the document says it says, on a model that is none and on a real one.
func TestAnswersAreDocumented(t *testing.T) {
	d := loadDocument(t)
	s := newSite(t, &fake{}, Options{})
	s.conform(d, good)
	s.conform(d, bad)
	s.conform(d, []exchange{{"GET", "/v1/models/tiny", "", 200}})
	for body := range malformed() {
		s.conform(d, []exchange{{"POST", "/v1/completions", body, 400}})
	}
	for body := range malformedChats() {
		s.conform(d, []exchange{{"POST", "/v1/chat/completions", body, 400}})
	}
	s.server.SetModel(demo(t))
	s.conform(d, good)
	s.conform(d, bad)
}

// Errors of the server's own are documented, too.
func TestFailuresAreDocumented(t *testing.T) {
	d := loadDocument(t)
	for status, err := range map[int]error{429: engine.ErrQueueFull, 503: engine.ErrClosed, 500: os.ErrInvalid} {
		s := newSite(t, &fake{refuse: err}, Options{MaxBody: 1 << 10})
		s.conform(d, []exchange{{"POST", "/v1/completions", goodBody, status}})
	}
	s := newSite(t, &fake{}, Options{MaxBody: 1 << 10})
	s.server.model.Store(nil)
	for path, e := range endpoints {
		if path == "/metrics" || path == "/openapi.yaml" || path == pagePath {
			continue // they need no model
		}
		s.conform(d, []exchange{{e.method, path, "", http.StatusServiceUnavailable}})
	}
	big := `{"prompt":"` + string(make([]byte, 2<<10)) + `"}`
	s.conform(d, []exchange{{"POST", "/v1/completions", big, 413}, {"POST", "/tokenize", big, 413}})
}
