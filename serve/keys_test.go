package serve

import (
	"strings"
	"testing"
)

func readKeys(t *testing.T, text string) *Keys {
	t.Helper()
	k, err := ReadKeys(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestReadKeys(t *testing.T) {
	k := readKeys(t, "# who may\n\nalice:sk-alice-1 # her first\r\nalice\tsk-alice-2\nbob sk-bob\nsk-nobody\ncarol:sk#carol\t#hers\n")
	for key, want := range map[string]string{"sk-alice-1": "alice", "sk-alice-2": "alice", "sk-bob": "bob", "sk-nobody": "key-6", "sk#carol": "carol"} {
		if name, ok := k.client([]byte(key)); !ok || name != want {
			t.Errorf("%s: %q, %v, want %q", key, name, ok, want)
		}
	}
	for _, key := range []string{"", "sk-alice", "sk-alice-11", "alice", "SK-BOB", "sk"} {
		if name, ok := k.client([]byte(key)); ok {
			t.Errorf("%q is taken for %q", key, name)
		}
	}
	for text, want := range map[string]string{
		"":                              "no key",
		"# only\n\n":                    "no key",
		"a\nb c d\n":                    "line 2 has 3 words",
		"a\nx:a\n":                      "line 2 has the key of line 1 again",
		"bob:sk-s\u00e9cret\n":          "line 1: name and key must be",
		strings.Repeat("k", 1<<20) + "": "too long",
	} {
		_, err := ReadKeys(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sk-") {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}

// Every path but the probes wants a key, also those that do not exist.
func TestKeysAreWanted(t *testing.T) {
	s := newSite(t, &fake{}, Options{Keys: readKeys(t, "alice:sk-alice\nbob:sk-bob")})
	d := loadDocument(t)
	paths := map[string]string{"/nowhere": "GET"}
	for path, e := range endpoints {
		paths[path] = e.method
	}
	for path, method := range paths {
		e := endpoints[path]
		free := e.access == open || e.access == probe
		for _, header := range []string{"X: y", "Authorization: sk-alice", "Authorization: Bearer", "Authorization: Bearer sk-alicf", "Authorization: Basic sk-alice", "Authorization: Bearer sk-alice sk-bob"} {
			resp, data := s.do(method, path, goodBody, header)
			if free {
				if resp.StatusCode != 200 {
					t.Errorf("%s: %d %s", path, resp.StatusCode, data)
				}
				continue
			}
			_, message := wantError(t, resp, data, 401)
			d.answer(method, path, resp, data)
			if resp.Header.Get("WWW-Authenticate") != "Bearer" || !strings.Contains(string(data), `"code":"invalid_api_key"`) || strings.Contains(message, "sk-") {
				t.Errorf("%s with %s: %v %s", path, header, resp.Header, data)
			}
		}
		if resp, data := s.do(method, path, goodBody, "Authorization: bearer  sk-bob"); resp.StatusCode == 401 {
			t.Errorf("%s with a key: %s", path, data)
		}
	}
	if client := s.fake.last(t).Client; client != "bob" {
		t.Errorf("the engine takes the client for %q", client)
	}

	s.server.SetKeys(readKeys(t, "carol:sk-carol"))
	if resp, _ := s.do("GET", "/v1/models", "", "Authorization: Bearer sk-bob"); resp.StatusCode != 401 {
		t.Errorf("a key that was taken back: %d", resp.StatusCode)
	}
	if resp, _ := s.do("GET", "/v1/models", "", "Authorization: Bearer sk-carol"); resp.StatusCode != 200 {
		t.Errorf("a new key: %d", resp.StatusCode)
	}
}

// Who has no key cannot make the server hold a large body.
func TestStrangersSendNoBodies(t *testing.T) {
	s := newTCPSite(t, &fake{}, Options{Keys: readKeys(t, "sk-1")})
	large := `{"prompt":"` + strings.Repeat("x", 2*strangersBody) + `","max_tokens":1}`
	resp, data := s.do("POST", "/v1/completions", large)
	wantError(t, resp, data, 401)
	resp, data = s.do("POST", "/v1/completions", large, "Authorization: Bearer sk-1")
	wantError(t, resp, data, 400) // longer than the context
}

func TestMetricsMayBePublic(t *testing.T) {
	s := newSite(t, &fake{}, Options{Keys: readKeys(t, "sk-1"), PublicMetrics: true})
	if resp, data := s.do("GET", "/metrics", ""); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, data)
	}
}

// Without keys everybody is who their address says.
func TestClientIsTheAddress(t *testing.T) {
	s := newTCPSite(t, &fake{}, Options{})
	s.complete(goodBody)
	if client := s.fake.last(t).Client; client != "127.0.0.1" {
		t.Errorf("the engine takes the client for %q", client)
	}
}
