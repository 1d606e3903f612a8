package serve

import (
	"encoding/json"
	"testing"
)

// All of logprobs, byte by byte: what a field is called, where the nulls are, and where offsets begin.
func TestLogprobsJSON(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	for body, want := range map[string]string{
		`{"prompt":"x","logprobs":1,"max_tokens":2}`: `{"tokens":["hello"," world"],"token_logprobs":[-0.5,-0.5],` +
			`"top_logprobs":[{"hello":-0.5},{" world":-0.5}],"text_offset":[0,5]}`,
		`{"prompt":"hello world","logprobs":0,"echo":true,"max_tokens":1}`: `{"tokens":["hello"," world","hello"],"token_logprobs":[null,-0.25,-0.5],` +
			`"top_logprobs":[null,{" world":-0.25},{"hello":-0.5}],"text_offset":[0,5,11]}`,
		`{"prompt":"hello","logprobs":2,"max_tokens":1}`: `{"tokens":["hello"],"token_logprobs":[-0.5],"top_logprobs":[{" hello":-1.5,"hello":-0.5}],"text_offset":[0]}`,
		`{"prompt":"x","max_tokens":1}`:                  `null`,
	} {
		_, data := s.do("POST", "/v1/completions", body)
		var a struct {
			Choices []struct{ Logprobs json.RawMessage }
		}
		if err := json.Unmarshal(data, &a); err != nil || string(a.Choices[0].Logprobs) != want {
			t.Errorf("%s:\ngot  %s\nwant %s", body, a.Choices[0].Logprobs, want)
		}
	}
}
