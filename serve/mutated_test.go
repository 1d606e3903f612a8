package serve

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llmqat/llmqat/internal/long"
)

// TestMutatedRequests sends good requests that were damaged, each on a connection of its own. Each must be answered
// with 2xx, for some damage is harmless, or with error JSON of 4xx, or the connection be closed; and good requests
// be answered all the while. LLMQAT_LONG says how many; without it they are few.
func TestMutatedRequests(t *testing.T) {
	const round, workers = 1000, 8
	total, seed := long.Rounds(t, 2*round, round), long.Seed(t)
	// What is cut off is waited for: not long.
	s := newTCPSite(t, &fake{}, Options{ReadTimeout: 200 * time.Millisecond, MaxBody: 16 << 10})
	statuses := map[string]int{}
	var mu sync.Mutex
	for first := 0; first < total; first += round {
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := first + w; i < min(total, first+round); i += workers {
					request, halfClose := mutated(seed, i)
					found, err := s.survives(request, halfClose)
					if err != nil {
						t.Errorf("seed %d, request %d: %v\n%.2000q", seed, i, err, request)
					}
					mu.Lock()
					for _, status := range found {
						statuses[status]++
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if a := s.complete(`{"prompt":"hello"}`); a.Choices[0].Text != "hello world" {
			t.Fatalf("after %d requests a good one is answered with %+v", first+round, a)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d requests, answers: %v", total, statuses)
	if n := s.server.counters.panics.Get(); n != 0 {
		t.Errorf("%d panics", n)
	}
	// Damage of every kind was done, and not only damage.
	for _, status := range []string{"200", "400", "404", "405", "408", "413", "closed"} {
		if statuses[status] == 0 {
			t.Errorf("no answer was %s", status)
		}
	}
}

// survives sends a request and checks all answers to it. It returns their statuses.
func (s *site) survives(request []byte, halfClose bool) (statuses []string, err error) {
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		return nil, err
	}
	tcp := c.(*net.TCPConn)
	_ = tcp.SetLinger(0) // no port waits in TIME_WAIT
	defer tcp.Close()
	_ = tcp.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = tcp.Write(request) // a refused one need not be read to its end
	if halfClose {
		_ = tcp.CloseWrite()
	}
	r := bufio.NewReader(tcp)
	method, _, _ := bytes.Cut(bytes.TrimLeft(request, "\r\n"), []byte(" "))
	for {
		status, err := oneAnswer(r, string(method))
		if status != "" {
			statuses = append(statuses, status)
		}
		switch {
		case errors.Is(err, errConnClosed) && len(statuses) == 0:
			return []string{"closed"}, nil
		case errors.Is(err, errConnClosed), err == nil && string(method) == "HEAD": // what follows HEAD has a body
			return statuses, nil
		case err != nil:
			return statuses, err
		}
		_ = tcp.CloseWrite() // what follows in the request is answered, then the server closes
	}
}

var errConnClosed = errors.New("closed")

// oneAnswer reads an answer, errConnClosed where the connection is closed in its place or in the middle of it.
func oneAnswer(r *bufio.Reader, method string) (status string, err error) {
	if _, err := r.Peek(1); err != nil {
		return "", closedOr(err)
	}
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return "", closedOr(err)
	}
	data, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	status = strconv.Itoa(resp.StatusCode)
	if err != nil {
		return status, closedOr(err)
	}
	switch {
	case resp.StatusCode < 300:
		return status, nil
	case resp.StatusCode >= 500:
		return status, fmt.Errorf("status %d: %s", resp.StatusCode, data)
	case method == "HEAD":
		return status, nil
	}
	var e errorAnswer
	if err := json.Unmarshal(data, &e); err != nil || e.Error == nil || e.Error.Message == "" || e.Error.Type == "" {
		return status, fmt.Errorf("status %d is not error JSON: %.300q", resp.StatusCode, data)
	}
	return status, nil
}

func closedOr(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("neither answered nor closed: %w", err)
	}
	var op *net.OpError
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) {
		return errConnClosed
	}
	return fmt.Errorf("not HTTP: %w", err)
}

// member is a name of a JSON object with its value, as text that need not be JSON.
type member struct{ name, value string }

// wire is a request that can be damaged in parts.
type wire struct {
	line    string
	headers []string
	body    []member // of a POST
	chunked bool
}

// goodWires are what is damaged.
func goodWires() []wire {
	post := func(path string, body ...member) wire {
		return wire{line: "POST " + path + " HTTP/1.1", headers: []string{"Host: t", "Content-Type: application/json"}, body: body}
	}
	get := func(path string) wire { return wire{line: "GET " + path + " HTTP/1.1", headers: []string{"Host: t"}} }
	return []wire{
		post("/v1/completions", member{"prompt", `"hello"`}, member{"max_tokens", "5"}, member{"temperature", "0.5"}, member{"stop", `["x","y"]`},
			member{"n", "2"}, member{"seed", "7"}, member{"logit_bias", `{"5":1}`}, member{"logprobs", "3"}, member{"echo", "true"}),
		post("/v1/completions", member{"prompt", `["a",""]`}, member{"stream", "true"}, member{"stream_options", `{"include_usage":true}`},
			member{"top_p", "0.9"}, member{"top_k", "40"}, member{"min_p", "0.1"}, member{"repetition_penalty", "1.1"}),
		post("/v1/completions", member{"prompt", `[[5,6],[7]]`}, member{"model", `"tiny"`}, member{"presence_penalty", "-1"}, member{"frequency_penalty", "1"},
			member{"best_of", "1"}, member{"user", `"u"`}, member{"ignore_eos", "false"}, member{"suffix", "null"}),
		post("/tokenize", member{"content", `"hello \u20ac"`}, member{"add_special", "true"}),
		post("/detokenize", member{"tokens", "[1,5,6]"}),
		get("/v1/models"), get("/v1/models/tiny"), get("/health"), get("/metrics"),
	}
}

// mutated is the ith request of a seed.
func mutated(seed uint64, i int) (request []byte, halfClose bool) {
	r := rand.New(rand.NewPCG(seed, uint64(i)))
	all := goodWires()
	w := all[r.IntN(len(all))]
	if w.body == nil && r.IntN(2) == 0 {
		w = all[r.IntN(5)] // most damage is done to bodies
	}
	w.chunked = w.body != nil && r.IntN(4) == 0
	if r.IntN(4) > 0 {
		for range 1 + r.IntN(3) {
			w.damageBody(r)
		}
	}
	if r.IntN(3) == 0 {
		w.damageFraming(r)
	}
	request = w.bytes(r)
	if r.IntN(3) == 0 {
		request = damageBytes(r, request)
	}
	if r.IntN(20) == 0 { // one behind the other
		next := all[r.IntN(len(all))]
		request = append(request, next.bytes(r)...)
	}
	return request, r.IntN(4) > 0
}

func (w *wire) damageBody(r *rand.Rand) {
	if len(w.body) == 0 {
		return
	}
	m := &w.body[r.IntN(len(w.body))]
	switch r.IntN(8) {
	case 0: // twice, spelled otherwise
		if m.name == "" {
			return
		}
		w.body = append(w.body, member{fmt.Sprintf(`\u%04x%s`, m.name[0], m.name[1:]), nasty(r)})
	case 1:
		w.body = append(w.body, *m)
	case 2:
		depth := 1 << r.IntN(12)
		m.value = strings.Repeat("[", depth) + m.value + strings.Repeat("]", depth)
	case 3:
		m.name = nastyString(r)
	default:
		m.value = nasty(r)
	}
}

// nasty is a JSON value that no field wants, or no JSON.
func nasty(r *rand.Rand) string {
	depth := 1 << r.IntN(14)
	values := []string{
		"1e308", "-1e308", "1e999", "-1", "0", "-0", "99999999999999999999", "18446744073709551615", "4294967296", "2147483648", "1.5", "0.1e-400",
		"NaN", "Infinity", "-Infinity", "0x10", "01", "+1", "1.", ".5", "1e", "--1", "null", "true", "false", "tru", "nul", "", " ", ",", ":", "}", "]",
		`""`, `"x"`, "[]", "{}", `[null]`, `[1,"a",null]`, `{"a":1,"a":2}`, `{"":{}}`, `[[]]`, `{"include_usage":1}`, `"\ud800"`, `"\u0000"`, `"\x"`, `"\u12"`,
		strings.Repeat("[", depth) + strings.Repeat("]", depth), strings.Repeat("[", depth), strings.Repeat(`{"a":`, depth),
		"1" + strings.Repeat("0", depth), "0." + strings.Repeat("1", depth), "[" + strings.Repeat("5,", depth) + "5]", `["` + strings.Repeat(`a","`, depth) + `a"]`,
		`"` + nastyString(r) + `"`, `"` + nastyString(r),
	}
	return values[r.IntN(len(values))]
}

func nastyString(r *rand.Rand) string {
	b := make([]byte, r.IntN(40))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	all := []string{string(b), "\xff\xfe", "\xed\xa0\x80", "\xc0\xaf", "\xe2\x82", `\ud83d`, `\`, "\x00", "\n", "\u2028", "{%s}", strings.Repeat("é", 1<<r.IntN(14)), "</s><s>[INST]"}
	return all[r.IntN(len(all))]
}

func (w *wire) damageFraming(r *rand.Rand) {
	number := []string{"0", "-1", "1", "13", "99", "9223372036854775807", "18446744073709551616", "0x10", "1e3", "1 1", "", "+5", "5,5", "\x00"}[r.IntN(14)]
	header := []string{
		"Content-Length: " + number, "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "transfer-encoding:\tchunked", "Transfer-Encoding: identity",
		"Transfer-Encoding: xchunked", "Content-Encoding: gzip", "Connection: close", "Connection: upgrade", "Upgrade: websocket", "Expect: 100-continue", "Expect: x",
		"Host: u", "Host:", ": x", "X", "X: a\rb", "X: a\x00b", " folded", "X : y", "X: " + strings.Repeat("x", 1<<r.IntN(16)), "Content-Type: multipart/form-data; boundary=x",
		"Content-Type: text/plain", "Cookie: " + strings.Repeat("a=b; ", r.IntN(2000)), "Range: bytes=0-1", "\xff: \xfe", "Authorization: Bearer \xff", "If-Modified-Since: x",
	}
	switch r.IntN(6) {
	case 0:
		w.line = []string{
			"", "POST", "POST /v1/completions", "POST  /v1/completions HTTP/1.1", "post /v1/completions HTTP/1.1", "POST /v1/completions HTTP/1.0", "POST /v1/completions HTTP/2.0",
			"POST /v1/completions HTTP/9999999999.1", "POST http://other/v1/completions HTTP/1.1", "POST /v1/../v1/completions HTTP/1.1", "POST /v1/completions%00 HTTP/1.1",
			"POST //v1//completions HTTP/1.1", "GET /v1/completions HTTP/1.1", "PUT /tokenize HTTP/1.1", "HEAD /health HTTP/1.1", "OPTIONS * HTTP/1.1", "CONNECT t:80 HTTP/1.1",
			"TRACE / HTTP/1.1", "DELETE /v1/models/tiny HTTP/1.1", "GET /v1/models/" + nastyString(r) + " HTTP/1.1", "GET /" + strings.Repeat("a", 1<<r.IntN(16)) + " HTTP/1.1",
			"PRI * HTTP/2.0", "GET /health?" + nastyString(r) + " HTTP/1.1", "\x16\x03\x01\x02\x00", "GET /%zz HTTP/1.1",
		}[r.IntN(25)]
	case 1:
		w.headers = nil
	default:
		at := r.IntN(len(w.headers) + 1)
		w.headers = append(w.headers[:at:at], append([]string{header[r.IntN(len(header))]}, w.headers[at:]...)...)
	}
}

// bytes is the request as it is sent.
func (w *wire) bytes(r *rand.Rand) []byte {
	var body bytes.Buffer
	if w.body != nil {
		body.WriteByte('{')
		for i, m := range w.body {
			if i > 0 {
				body.WriteByte(',')
			}
			fmt.Fprintf(&body, `"%s":%s`, m.name, m.value)
		}
		body.WriteByte('}')
	}
	var out bytes.Buffer
	out.WriteString(w.line + "\r\n")
	for _, h := range w.headers {
		out.WriteString(h + "\r\n")
	}
	switch {
	case w.body == nil:
		out.WriteString("\r\n")
	case !w.chunked:
		fmt.Fprintf(&out, "Content-Length: %d\r\n\r\n%s", body.Len(), body.Bytes())
	default:
		out.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for body.Len() > 0 {
			chunk := body.Next(1 + r.IntN(max(64, body.Len())))
			size := fmt.Sprintf("%x", len(chunk))
			if r.IntN(10) == 0 {
				size = []string{"", "zz", "-1", "0", "ffffffffffffffff", "7fffffffffffffff", "1;ext=" + nastyString(r), "0x5", size + " "}[r.IntN(9)]
			}
			fmt.Fprintf(&out, "%s\r\n%s\r\n", size, chunk)
		}
		out.WriteString("0\r\n\r\n")
	}
	return out.Bytes()
}

// damageBytes knows nothing of HTTP.
func damageBytes(r *rand.Rand, b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	at := r.IntN(len(b))
	end := min(len(b), at+1+r.IntN(64))
	switch r.IntN(4) {
	case 0:
		return b[:at]
	case 1:
		for range 1 + r.IntN(8) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		return b
	case 2:
		return append(b[:at:at], b[end:]...)
	}
	return append(b[:end:end], b[at:]...) // a piece twice
}
