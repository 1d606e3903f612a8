package serve

import (
	"fmt"
	"strings"
	"testing"
)

// Prompts that share a first page have one name, others another; a client's own name stays.
func TestPrefix(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	of := func(body string, headers ...string) string {
		t.Helper()
		resp, data := s.do("POST", "/v1/completions", body, headers...)
		if resp.StatusCode != 200 {
			t.Fatalf("%s: %d %s", body, resp.StatusCode, data)
		}
		return resp.Header.Get(prefixHeader)
	}
	long := func(tail string) string {
		return fmt.Sprintf(`{"prompt":"%s%s","max_tokens":1}`, strings.Repeat("xy", 40), tail)
	}
	first := of(long("abc"))
	if len(first) != 16 || first != of(long("def")) || first != of(strings.Replace(long(""), "{", `{"stream":true,`, 1)) {
		t.Errorf("one beginning, names %q, %q", first, of(long("def")))
	}
	seen := map[string]string{"": "no name"}
	for _, body := range []string{long(""), `{"prompt":"x"}`, `{"prompt":"y"}`, `{"prompt":""}`, `{"prompt":"x","cache_salt":"a"}`, `{"prompt":"x","cache_salt":"b"}`} {
		name := of(body)
		if other, twice := seen[name]; twice {
			t.Errorf("%s and %s are both called %q", body, other, name)
		}
		seen[name] = body
	}
	if got := of(long(""), prefixHeader+": chat-17"); got != "chat-17" {
		t.Errorf("the client's chat-17 became %q", got)
	}
	if got := of(long(""), prefixHeader+": not fit"); got != first {
		t.Errorf("what cannot stand in a header became %q, want %q", got, first)
	}
}
