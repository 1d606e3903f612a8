package serve

import (
	"strings"
	"testing"
)

// Pages of others are refused, whatever they send; the server's own page and programs are not.
func TestOrigins(t *testing.T) {
	open := newTCPSite(t, &fake{}, Options{})
	some := newTCPSite(t, &fake{}, Options{CORSOrigins: []string{"https://app.example.org", "http://localhost:3000"}})
	all := newTCPSite(t, &fake{}, Options{CORSOrigins: []string{"*"}})
	keys := newTCPSite(t, &fake{}, Options{Keys: readKeys(t, "sk-1")})
	for _, c := range []struct {
		site         *site
		host, origin string
		want         string // of the status, the code and the allowed origin
	}{
		{open, "127.0.0.1:8080", "", "200"},
		{open, "127.0.0.1:8080", "http://127.0.0.1:8080", "200"},
		{open, "[::1]:8080", "http://[::1]:8080", "200"},
		{open, "localhost:8080", "http://LOCALHOST:8080", "200"},
		{open, "llmqat", "", "200"}, // nginx sends its upstream's name
		{open, "chat.localhost", "http://chat.localhost", "200"},
		{open, "127.0.0.1:8080", "http://evil.example", "403 origin_not_allowed"},
		{open, "127.0.0.1:8080", "http://127.0.0.1:9000", "403 origin_not_allowed"},
		{open, "127.0.0.1:8080", "null", "403 origin_not_allowed"},
		{open, "evil.example:8080", "http://evil.example:8080", "403 host_not_allowed"},
		{open, "evil.example", "", "403 host_not_allowed"},
		{open, "127.0.0.1.evil.example", "", "403 host_not_allowed"},
		{some, "127.0.0.1:8080", "https://app.example.org", "200 https://app.example.org"},
		{some, "app.example.org", "https://app.example.org", "200 https://app.example.org"},
		{some, "app.example.org", "", "200"},
		{some, "127.0.0.1:8080", "https://app.example.org.evil.example", "403 origin_not_allowed"},
		{some, "127.0.0.1:8080", "http://app.example.org", "403 origin_not_allowed"},
		{all, "any.example", "https://any.example", "200 *"},
		{all, "127.0.0.1", "null", "200 *"},
		{keys, "llm.example.org", "", "200"},
		{keys, "llm.example.org", "https://llm.example.org", "200"},
		{keys, "llm.example.org", "https://evil.example", "403 origin_not_allowed"},
	} {
		resp, data := c.site.do("POST", "/v1/completions", goodBody, "Host: "+c.host, "Content-Type: text/plain", "Authorization: Bearer sk-1", "Origin: "+c.origin)
		got := strings.TrimSpace(resp.Status[:3] + " " + resp.Header.Get("Access-Control-Allow-Origin"))
		for _, code := range []string{"origin_not_allowed", "host_not_allowed"} {
			if strings.Contains(string(data), code) {
				got += " " + code
				wantError(t, resp, data, 403)
			}
		}
		if got != c.want {
			t.Errorf("host %q, origin %q: %s, want %s", c.host, c.origin, got, c.want)
		}
		if vary := resp.Header.Get("Vary") == "Origin"; vary != strings.HasPrefix(c.want, "200 http") {
			t.Errorf("host %q, origin %q: Vary: %q", c.host, c.origin, resp.Header.Get("Vary"))
		}
		if exposed := resp.Header.Get("Access-Control-Expose-Headers"); strings.Contains(c.want, "200 ") != strings.Contains(exposed, "X-Request-Id") {
			t.Errorf("host %q, origin %q: exposed: %q", c.host, c.origin, exposed)
		}
	}
}

// A browser asks before it sends a key or JSON.
func TestPreflight(t *testing.T) {
	s := newSite(t, &fake{}, Options{Keys: readKeys(t, "sk-1"), CORSOrigins: []string{"https://app.example.org"}})
	ask := []string{"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type,x-stainless-os"}
	resp, data := s.do("OPTIONS", "/v1/completions", "", append(ask, "Origin: https://app.example.org")...)
	h := resp.Header
	if resp.StatusCode != 204 || len(data) != 0 || h.Get("Access-Control-Allow-Origin") != "https://app.example.org" ||
		h.Get("Access-Control-Allow-Methods") != "GET, POST" || h.Get("Access-Control-Allow-Headers") != "authorization,content-type,x-stainless-os" {
		t.Errorf("%d %v %s", resp.StatusCode, h, data)
	}
	resp, data = s.do("OPTIONS", "/v1/completions", "", append(ask, "Origin: https://evil.example")...)
	wantError(t, resp, data, 403)
	resp, data = s.do("OPTIONS", "/v1/completions", "", ask...) // no browser
	wantError(t, resp, data, 401)
}

func TestCheckOrigin(t *testing.T) {
	for _, good := range []string{"*", "null", "https://a.example", "http://localhost:3000", "http://[::1]:80"} {
		if err := CheckOrigin(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "a.example", "https://", "https://a.example/", "https://a.example/x", "https://*.a.example/", "//a"} {
		if CheckOrigin(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
