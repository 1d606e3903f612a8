package serve

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestPage follows the page from / to all that it names: each file is there, of a type that browsers take, and
// allowed by the policy, which knows no inline scripts and styles.
func TestPage(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	types := map[string]string{"": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
	names := regexp.MustCompile(`(?:(?:src|href)="|from "\./|import "\./)([^"]+)"`)
	weight := 0
	seen := map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		resp, body := s.do("GET", path, "")
		_, ext, _ := strings.Cut(path, ".")
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || !strings.HasPrefix(got, types[ext]) || len(body) == 0 {
			t.Fatalf("GET %s: status %d, type %q, %d bytes", path, resp.StatusCode, got, len(body))
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache", "Content-Security-Policy": pagePolicy} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("GET %s: %s: %q, want %q", path, name, got, want)
			}
		}
		weight += len(body)
		for _, m := range names.FindAllSubmatch(body, -1) {
			name := string(m[1])
			if !strings.HasPrefix(name, "page/") {
				name = "page/" + name
			}
			visit("/" + name)
		}
		if inline := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=|javascript:|https?://[^ ]*\.(?:js|css)`).Find(body); ext == "" && inline != nil {
			t.Errorf("GET %s: %q, which the policy forbids", path, inline)
		}
		if unsafe := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(`).Find(body); unsafe != nil {
			t.Errorf("GET %s: %s: what a model writes must not be parsed as HTML", path, unsafe)
		}
	}
	visit("/")
	if len(seen) != len(pageNames(t)) {
		t.Errorf("the page reaches %d files, %d are embedded", len(seen), len(pageNames(t)))
	}
	if weight > 60<<10 {
		t.Errorf("the page weighs %d bytes, want at most %d", weight, 60<<10)
	}
	if resp, _ := s.do("GET", "/favicon.ico", ""); resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "image/svg+xml" {
		t.Errorf("GET /favicon.ico: status %d, type %q", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
}

func pageNames(t *testing.T) []string {
	t.Helper()
	entries, err := pageFiles.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestPageCached checks that a browser which has the page is not sent it again, until it changes.
func TestPageCached(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	first, body := s.do("GET", "/", "")
	get := func(method, etag string) (*http.Response, []byte) {
		req, err := http.NewRequest(method, "http://test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("If-None-Match", etag)
		resp, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp, b.Bytes()
	}
	etag := first.Header.Get("ETag")
	for _, same := range []string{etag, "W/" + etag, `"x", ` + etag} {
		if resp, b := get("GET", same); resp.StatusCode != 304 || len(b) != 0 || resp.Header.Get("ETag") != etag {
			t.Errorf("If-None-Match %s: status %d with %d bytes, ETag %q", same, resp.StatusCode, len(b), resp.Header.Get("ETag"))
		}
	}
	if resp, b := get("GET", `"other"`); resp.StatusCode != 200 || !bytes.Equal(b, body) {
		t.Errorf("another ETag: status %d with %d bytes, want the page", resp.StatusCode, len(b))
	}
	if resp, b := get("HEAD", ""); resp.StatusCode != 200 || len(b) != 0 || resp.ContentLength != int64(len(body)) {
		t.Errorf("HEAD: status %d, %d bytes, Content-Length %d, want 200, 0, %d", resp.StatusCode, len(b), resp.ContentLength, len(body))
	}
	resp, data := s.do("POST", "/", "{}")
	wantError(t, resp, data, 405)
	resp, data = s.do("GET", "/page/../server.go", "")
	wantError(t, resp, data, 404)
}

// TestCard checks that a model's object carries its card, lists do not, and a model without one has no such member.
func TestCard(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	var got map[string]json.RawMessage
	ask := func(path string) {
		t.Helper()
		got = nil
		resp, data := s.do("GET", path, "")
		if err := json.Unmarshal(data, &got); err != nil || resp.StatusCode != 200 {
			t.Fatalf("GET %s: status %d: %v: %s", path, resp.StatusCode, err, data)
		}
	}
	ask("/v1/models/tiny")
	if c, ok := got["llmqat"]; ok {
		t.Errorf("a model without a card has %s", c)
	}
	m := *s.server.model.Load()
	m.Card = &Card{Layers: 5, KVScheme: "head-zp", Provenance: Provenance{Steps: 3000, Notes: map[string]string{"start": "clip"}}}
	s.server.SetModel(m)
	ask("/v1/models/tiny")
	var c Card
	d := loadDocument(t)
	d.schema("the card", d.Components.Schemas["Card"], got["llmqat"])
	if err := json.Unmarshal(got["llmqat"], &c); err != nil || c.Layers != 5 || c.KVScheme != "head-zp" || c.Provenance.Steps != 3000 {
		t.Errorf("the card is %+v (%v)", c, err)
	}
	if ask("/v1/models"); bytes.Contains(got["data"], []byte("head-zp")) {
		t.Errorf("the list has cards: %s", got["data"])
	}
}
