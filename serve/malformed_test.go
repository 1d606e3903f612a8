package serve

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// badValues are wrong for every field of the kind.
var badValues = map[string][]string{
	"number": {`"1"`, `"NaN"`, `[1]`, `{}`, `true`, `1e308`, `-1e308`, `1e999`, `-1`, `1000`},
	"int":    {`"1"`, `[1]`, `{}`, `false`, `1e308`, `1.5`, `-2000`, `99999999999999999999`, `-0.5`},
	"bool":   {`"true"`, `1`, `0`, `[]`, `{}`},
	"string": {`1`, `true`, `[]`, `{}`},
}

var fieldKinds = []struct{ name, kind string }{
	{"temperature", "number"}, {"top_p", "number"}, {"min_p", "number"}, {"repetition_penalty", "number"},
	{"max_tokens", "int"}, {"n", "int"}, {"logprobs", "int"}, {"top_k", "int"}, {"best_of", "int"},
	{"stream", "bool"}, {"echo", "bool"}, {"ignore_eos", "bool"}, {"model", "string"},
	{"priority", "int"}, {"cache_salt", "string"}, {"user", "string"},
}

// malformed returns request bodies and the parameter that their answers must name, "" for none.
func malformed() map[string]string {
	m := map[string]string{
		``: "", ` `: "", `{`: "", `}`: "", `[]`: "", `null`: "", `"x"`: "", `1`: "", `{"prompt":}`: "", `{"prompt":"x",}`: "",
		`{"prompt":"x"} {}`: "", `{"prompt":"x"}x`: "", `{'prompt':'x'}`: "", `{"prompt":"x","temperature":NaN}`: "",
		`{"prompt":"x","temperature":Infinity}`: "", `{"prompt":"x","n":+1}`: "", `{"prompt":"x","n":01}`: "", `{"prompt":"\x"}`: "",
		"{\"prompt\":\"a\nb\"}": "", `{"prompt":"x","prompt":"y"}`: "", `{"n":1,"n":1,"prompt":"x"}`: "",
		`{"prompt":"x","\u006e":1,"n":1}`: "", `{"prompt":"x","logit_bias":{"5":1,"5":2}}`: "", `{"prompt":"x","other":{"a":1,"a":1}}`: "",
		`{"prompt":"x","other":[{"a":[{"b":1,"b":1}]}]}`: "", "\xff\xfe": "", "\x00": "", `{"prompt":"x`: "", `{"prompt`: "",
		`{"prompt":"x","deep":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`: "",
		strings.Repeat("[", 100000): "", strings.Repeat(`{"a":`, 100000): "",
		`{"prompt":"x","wide":{` + wide(5000) + `}}`: "",

		`{}`: "prompt", `{"prompt":null}`: "prompt", `{"prompt":1}`: "prompt", `{"prompt":true}`: "prompt", `{"prompt":{}}`: "prompt",
		`{"prompt":[]}`: "prompt", `{"prompt":[[]]}`: "prompt", `{"prompt":[null]}`: "prompt", `{"prompt":["x",1]}`: "prompt",
		`{"prompt":[1,"x"]}`: "prompt", `{"prompt":[1.5]}`: "prompt", `{"prompt":[-1]}`: "prompt", `{"prompt":[1000000]}`: "prompt",
		`{"prompt":[1e3]}`: "prompt", `{"prompt":[5,null]}`: "prompt", `{"prompt":[[1],2]}`: "prompt", `{"prompt":[[1],"x"]}`: "prompt",
		`{"prompt":[[1],[[2]]]}`: "prompt", `{"prompt":[{}]}`: "prompt", `{"prompt":[99999999999999999999]}`: "prompt", `{"prompt":[[1],[]]}`: "prompt",
		`{"prompt":[true]}`: "prompt",
		`{"prompt":[` + strings.Repeat(`"",`, 128) + `""]}`:      "prompt",
		`{"n":16,"prompt":[` + strings.Repeat(`"",`, 8) + `""]}`: "prompt",

		`{"prompt":"x","presence_penalty":2.5}`: "presence_penalty", `{"prompt":"x","presence_penalty":-2.5}`: "presence_penalty",
		`{"prompt":"x","frequency_penalty":-3}`: "frequency_penalty", `{"prompt":"x","frequency_penalty":"0"}`: "frequency_penalty",
		`{"prompt":"x","repetition_penalty":0}`: "repetition_penalty", `{"prompt":"x","temperature":2.1}`: "temperature",
		`{"prompt":"x","n":0}`: "n", `{"prompt":"x","n":17}`: "n", `{"prompt":"x","n":2147483648}`: "n", `{"prompt":"x","logprobs":21}`: "logprobs",
		`{"prompt":"x","max_tokens":0}`: "max_tokens", `{"prompt":"x","max_tokens":4294967296}`: "max_tokens",
		`{"prompt":"x","best_of":2,"stream":true}`: "best_of", `{"prompt":"x","n":2,"best_of":1}`: "best_of", `{"prompt":"x","suffix":"y"}`: "suffix",
		`{"prompt":"x","suffix":1}`: "suffix", `{"prompt":"x","seed":1.5}`: "seed", `{"prompt":"x","seed":"1"}`: "seed",
		`{"prompt":"x","seed":18446744073709551616}`: "seed",

		`{"prompt":"x","stop":1}`: "stop", `{"prompt":"x","stop":""}`: "stop", `{"prompt":"x","stop":["a",1]}`: "stop", `{"prompt":"x","stop":{}}`: "stop",
		`{"prompt":"x","stop":[null]}`: "stop", `{"prompt":"x","stop":[["a"]]}`: "stop", `{"prompt":"x","stop":["a",""]}`: "stop",
		`{"prompt":"x","stop":"` + strings.Repeat("s", 257) + `"}`:      "stop",
		`{"prompt":"x","stop":[` + strings.Repeat(`"a",`, 16) + `"a"]}`: "stop",

		`{"prompt":"x","logit_bias":[]}`: "logit_bias", `{"prompt":"x","logit_bias":1}`: "logit_bias", `{"prompt":"x","logit_bias":{"x":1}}`: "logit_bias",
		`{"prompt":"x","logit_bias":{"-1":1}}`: "logit_bias", `{"prompt":"x","logit_bias":{"99999":1}}`: "logit_bias",
		`{"prompt":"x","logit_bias":{"5":101}}`: "logit_bias", `{"prompt":"x","logit_bias":{"5":-101}}`: "logit_bias",
		`{"prompt":"x","logit_bias":{"5":"1"}}`: "logit_bias", `{"prompt":"x","logit_bias":{"5":null}}`: "logit_bias",
		`{"prompt":"x","logit_bias":{"5":1e308}}`: "logit_bias", `{"prompt":"x","logit_bias":{"1e1":1}}`: "logit_bias",
		`{"prompt":"x","logit_bias":{` + wide(1025) + `}}`: "logit_bias",

		`{"prompt":"x","stream_options":{}}`: "stream_options", `{"prompt":"x","stream":true,"stream_options":1}`: "stream_options",
		`{"prompt":"x","stream":true,"stream_options":{"include_usage":1}}`: "stream_options",
	}
	for _, f := range refused {
		m[fmt.Sprintf(`{"prompt":"x","%s":{"type":"json_object"}}`, f.name)] = f.name
		m[fmt.Sprintf(`{"prompt":"x","%s":true}`, f.name)] = f.name
		m[fmt.Sprintf(`{"prompt":"x","%s":[%s]}`, f.name, strings.Repeat(`"long",`, 100)+`1`)] = f.name
	}
	m[`{"prompt":"x","prompt_logprobs":0}`] = "prompt_logprobs"
	m[`{"prompt":"x","priority":1001}`] = "priority"
	m[`{"prompt":"x","cache_salt":"`+strings.Repeat("é", 129)+`"}`] = "cache_salt"
	for _, f := range fieldKinds {
		for _, v := range badValues[f.kind] {
			m[fmt.Sprintf(`{"prompt":"x","%s":%s}`, f.name, v)] = f.name
		}
	}
	return m
}

// wide returns n members of an object.
func wide(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%d":1`, i)
	}
	return b.String()
}

// refuses wants a 400 for each body, which names its parameter, and none to reach the model.
func (s *site) refuses(path string, bodies map[string]string) {
	s.t.Helper()
	if len(bodies) < 100 {
		s.t.Fatalf("%d bodies, want at least 100", len(bodies))
	}
	for body, want := range bodies {
		resp, data := s.do("POST", path, body)
		if param, _ := wantError(s.t, resp, data, 400); param != want {
			s.t.Errorf("%.150s: param %q, want %q: %s", body, param, want, data)
		}
	}
	if len(s.fake.requests) != 0 {
		s.t.Errorf("%d malformed requests reached the model", len(s.fake.requests))
	}
}

func TestMalformedBodies(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	s.refuses("/v1/completions", malformed())
	s.complete(`{"prompt":"x"}`)
}

// What a strict server may not refuse.
func TestOddButGoodBodies(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	for _, body := range []string{
		`{"prompt":"x","user":"u","suffix":"","model":null,"n":null,"stop":null,"logprobs":null,"stream":false}`,
		" \n{ \"prompt\" : \"x\" , \"N\" : 99 }\r\n", // names are case sensitive: N is unknown
		`{"prompt":"\ud83d\ude00 \ud83d","stop":["\ud83d\ude00"]}`,
		`{"prompt":"x","temperature":1e-3,"top_p":1E0,"presence_penalty":-0.0}`,
		`{"prompt":"x","other":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`,
		`{"prompt":"{[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}`,
		`{"prompt":"x","logit_bias":{` + strings.ReplaceAll(wide(290), ":1", ":0") + `}}`,
		`{"prompt":"x","n":2,"best_of":2}`,
		`{"prompt":"x","response_format":{"type": "text"},"tools":[],"tool_choice":"none","guided_json":null,"grammar":"","min_tokens":0,"use_beam_search":false}`,
	} {
		s.complete(body)
	}
}

func TestPathsAndMethods(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	for _, c := range []struct {
		method, path string
		status       int
		param        string
	}{
		{"GET", "/v1/completions", 405, ""}, {"PUT", "/v1/completions", 405, ""}, {"DELETE", "/v1/models/tiny", 405, ""},
		{"POST", "/v1/models", 405, ""}, {"POST", "/health", 405, ""}, {"OPTIONS", "/tokenize", 405, ""}, {"FOO", "/health", 405, ""},
		{"POST", "/", 405, ""}, {"GET", "/page", 404, ""}, {"GET", "/v1", 404, ""}, {"POST", "/v1/completions/", 404, ""}, {"POST", "/v1/chat/nothing", 404, ""},
		{"GET", "/v1/models/other", 404, "model"}, {"GET", "/v1/models/tiny/x", 404, "model"}, {"GET", "/%00%ff", 404, ""},
		{"GET", "/" + strings.Repeat("a", 8000), 404, ""},
	} {
		resp, data := s.do(c.method, c.path, "")
		if param, _ := wantError(t, resp, data, c.status); param != c.param {
			t.Errorf("%s %s: param %q, want %q", c.method, c.path, param, c.param)
		}
		if c.status == 405 && resp.Header.Get("Allow") == "" {
			t.Errorf("%s %s: 405 without Allow", c.method, c.path)
		}
	}
	resp, data := s.do("POST", "/v1/completions", `{"prompt":"x","model":"other"}`)
	if param, _ := wantError(t, resp, data, 404); param != "model" || !strings.Contains(string(data), `"model_not_found"`) {
		t.Errorf("unknown model: %s", data)
	}
	if resp, data := s.do("HEAD", "/health", ""); resp.StatusCode != 200 || len(data) != 0 {
		t.Errorf("HEAD /health: %d %q", resp.StatusCode, data)
	}
}

// raw sends bytes and returns the answer, nil if the connection was closed without one.
func (s *site) raw(request string) (*http.Response, []byte) {
	s.t.Helper()
	c := s.dial()
	defer c.Close()
	go io.WriteString(c, request) // the answer may come before all of it is taken
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == io.ErrUnexpectedEOF {
		return nil, nil
	}
	if err != nil {
		s.t.Fatalf("%.100q: %v", request, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%.100q: %v", request, err)
	}
	return resp, data
}

const goodBody = `{"prompt":"x"}`

func TestMalformedHTTP(t *testing.T) {
	s := newTCPSite(t, &fake{}, Options{ReadTimeout: 200 * time.Millisecond})
	post := func(headers, body string) string {
		return "POST /v1/completions HTTP/1.1\r\nHost: t\r\n" + headers + "\r\n" + body
	}
	for _, c := range []struct {
		name, request string
		statuses      []int
	}{
		{"not HTTP", "hello\r\n\r\n", []int{400}},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400}},
		{"another protocol", "GET /health GOPHER/1.0\r\nHost: t\r\n\r\n", []int{400}},
		{"no name", post(": x\r\nContent-Length: 14\r\n", goodBody), []int{400}},
		{"bad value", post("X: a\x00b\r\n", ""), []int{400}},
		{"length not a number", post("Content-Length: x\r\n", goodBody), []int{400}},
		{"negative length", post("Content-Length: -1\r\n", goodBody), []int{400}},
		{"huge length", post("Content-Length: 99999999999999999999\r\n", goodBody), []int{400, 413}},
		{"length of 2^62", post("Content-Length: 4611686018427387904\r\n", goodBody), []int{413}},
		{"two lengths", post("Content-Length: 14\r\nContent-Length: 15\r\n", goodBody), []int{400}},
		{"length and chunks", post("Content-Length: 14\r\nTransfer-Encoding: chunked\r\n", "e\r\n"+goodBody+"\r\n0\r\n\r\n"), []int{400}},
		{"chunks and length", post("transfer-encoding: chunked\r\ncontent-length: 14\r\n", "e\r\n"+goodBody+"\r\n0\r\n\r\n"), []int{400}},
		{"length and identity", post("Content-Length: 14\r\nTransfer-Encoding: identity\r\n", goodBody), []int{400}},
		{"unknown coding", post("Transfer-Encoding: gzip\r\n", goodBody), []int{400, 501}},
		{"bad chunk", post("Transfer-Encoding: chunked\r\n", "zz\r\n"+goodBody), []int{400}},
		{"huge chunk", post("Transfer-Encoding: chunked\r\n", "7fffffffffffffff\r\n"+goodBody), []int{400, 413}},
		{"no body", post("Content-Length: 14\r\n", ""), []int{408}},
		{"half a header", "POST /v1/completions HTTP/1.1\r\nHos", []int{408}},
		{"stream over HTTP/1.0", "POST /v1/completions HTTP/1.0\r\nContent-Length: 28\r\n\r\n" + `{"prompt":"x","stream":true}`, []int{400}},
		{"big header", post("X: "+strings.Repeat("x", 40<<10)+"\r\nContent-Length: 14\r\n", goodBody), []int{431}},
		{"many headers", post(strings.Repeat("X: y\r\n", 20000)+"Content-Length: 14\r\n", goodBody), []int{431}},
		{"big body", post(fmt.Sprintf("Content-Length: %d\r\n", 5<<20), strings.Repeat("x", 5<<20)), []int{413}},
		{"big chunked body", post("Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 5<<20, strings.Repeat("x", 5<<20))), []int{413}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub := *s
			sub.t = t
			resp, data := sub.raw(c.request)
			if resp == nil {
				return
			}
			wantError(t, resp, data, c.statuses...)
			if !resp.Close {
				t.Errorf("the connection stays open after a request whose end is unknown")
			}
		})
		s.complete(goodBody)
	}
	// 12 KB of headers, as cookies and proxies make them, are good
	if resp, data := s.raw(post("X: "+strings.Repeat("x", 12<<10)+"\r\nContent-Length: 14\r\n", goodBody)); resp == nil || resp.StatusCode != 200 {
		t.Errorf("12 KB of headers: %v %s", resp, data)
	}
}

// What cannot be read may hold a key: neither the answer nor any log repeats it.
func TestMalformedHTTPIsNotQuoted(t *testing.T) {
	l, log := newLog()
	s := newTCPSite(t, &fake{}, Options{Log: log})
	const key = "Authorization: Bearer sk-secret\r\n"
	for _, request := range []string{
		"GET /health\r\n" + key + "\r\n", "G@T /health HTTP/1.1\r\n" + key + "\r\n", "GET /health GOPHER/1.0\r\n" + key + "\r\n",
		"GET  HTTP/1.1\r\n" + key + "\r\n", "GET /health HTTP/1.1\r\n" + key + "\r\n", "GET /health HTTP/1.1\r\nHost: t\r\n" + key + "no colon\r\n\r\n",
		"GET /health HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer sk-secret\x01\r\n\r\n", "GET /health HTTP/1.1\r\nHost: t\r\n" + key + "X: " + strings.Repeat("x", headerLimit) + "\r\n\r\n",
	} {
		if resp, data := s.raw(request); resp == nil || resp.StatusCode < 400 || strings.Contains(string(data), "secret") {
			t.Errorf("%.60q: %s", request, data)
		}
	}
	soon(t, "fasthttp has complained", func() bool { return strings.Count(l.String(), "error when serving") >= 7 }) // of all but the last
	if strings.Contains(l.String(), "secret") {
		t.Errorf("the log: %s", l.String())
	}
}

// Most clients read no answer before they have sent all of the request: a refused one must be let to.
func TestARefusedClientMaySendOn(t *testing.T) {
	s := newTCPSite(t, &fake{}, Options{})
	c := s.dial()
	const size = 8 << 20
	fmt.Fprintf(c, "POST /v1/completions HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n", size)
	for range size / (64 << 10) {
		if _, err := c.Write(make([]byte, 64<<10)); err != nil {
			t.Fatalf("the connection was reset before the request was sent: %v", err)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != 413 {
		t.Errorf("%v, %v", resp, err)
	}
}
