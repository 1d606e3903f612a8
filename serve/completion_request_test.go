package serve

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// fuzzRequest holds a parser to what it must not do with any bytes, and what it takes of them to keeps.
func fuzzRequest(f *testing.F, bodies map[string]string, parse func([]byte, *Model) (*request, *apiError), keeps func(t *testing.T, m *Model, body []byte, r *request)) {
	for body := range bodies {
		if len(body) < 1000 {
			f.Add([]byte(body))
		}
	}
	s := New(Options{Log: quiet()})
	s.SetModel(Model{Name: "tiny", Tokenizer: testTokenizer(f), Generator: &fake{}, Chat: testChat(f), MaxContext: testContext, Created: time.Now()})
	m := s.model.Load()
	f.Fuzz(func(t *testing.T, body []byte) {
		kept := bytes.Clone(body)
		r, err := parse(body, m)
		if !bytes.Equal(body, kept) {
			t.Fatal("the body was changed")
		}
		if err == nil {
			keeps(t, m, body, r)
		} else if err.status != 400 && err.status != 404 || err.message == "" || len(err.message) > 2000 {
			t.Fatalf("%q: status %d, message %q", body, err.status, err.message)
		}
	})
}

// Whatever the bytes, a request is refused with a reason or keeps every limit, and nothing panics.
func FuzzParseCompletion(f *testing.F) {
	f.Add([]byte(`{"prompt":["a","b"],"n":2,"stop":["x"],"logit_bias":{"5":1},"stream":true,"stream_options":{"include_usage":true}}`))
	fuzzRequest(f, malformed(), parseCompletion, func(t *testing.T, m *Model, body []byte, r *request) {
		choices := len(r.prompts) * r.n
		if choices < 1 || choices > maxChoices || r.maxTokens < 0 || len(r.stops) > maxStops || r.logprobs > maxLogprobs {
			t.Fatalf("%q: %+v", body, r)
		}
		for i, p := range r.prompts {
			if len(p.ids) == 0 || len(p.ids)+r.maxTokens > m.MaxContext {
				t.Fatalf("%q: prompt %d has %d tokens, max_tokens %d", body, i, len(p.ids), r.maxTokens)
			}
			q := r.engineRequest(p, 0, "")
			if err := q.Sampling.Check(m.Tokenizer.VocabSize()); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
		}
	})
}

// parseObject finds what encoding/json finds, where both take the text.
func FuzzParseObject(f *testing.F) {
	for _, s := range []string{`{}`, ` {"a" : [1, {"b":"\"}"}] ,"\u0061b":-1e5, "":null}`, `{"a":1,"a":2}`, `[]`, `{"a":"\ud800"}`, `{"a":tru}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		members, err := parseObject(data)
		var want map[string]any
		werr := json.Unmarshal(data, &want)
		if err != nil {
			return // stricter
		}
		if werr != nil || want == nil {
			t.Fatalf("%q was taken: %v", data, werr)
		}
		got := map[string]any{}
		for name, raw := range members {
			var v any
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatalf("%q: member %q is %q: %v", data, name, raw, err)
			}
			if raw[0] == ' ' || raw[len(raw)-1] == ' ' {
				t.Fatalf("%q: member %q has spaces around: %q", data, name, raw)
			}
			got[name] = v
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %v, want %v", data, got, want)
		}
	})
}
