package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/llmqat/llmqat/internal/long"
)

const (
	bombTime   = 50 * time.Millisecond
	bombMemory = 32 << 10 // KiB
)

// bomb is a request that asks for much, or looks as if; its body is made when it is sent.
type bomb struct {
	path, name string
	body       func() string
}

// bombs are at least 200. mega is 1 << 20 for bodies that come close to the limit of 4 MiB.
func bombs(mega int) (list []bomb) {
	repeat := func(before, s string, n int, after string) func() string {
		return func() string { return before + strings.Repeat(s, n) + after }
	}
	members := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"%d":1,`, i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	for path, least := range map[string]string{"/v1/completions": `{"prompt":"x"`} {
		add := func(name string, body func() string) { list = append(list, bomb{path, name, body}) }
		field := func(name, value string) {
			add(name+" = "+value[:min(len(value), 40)], func() string { return least + `,"` + name + `":` + value + "}" })
		}
		big := func(name, kind string, value func() string) {
			add(name+" = "+kind, func() string { return least + `,"` + name + `":` + value() + "}" })
		}
		deep := strings.Repeat("[", 30) + strings.Repeat("]", 30)
		for _, name := range []string{"n", "best_of", "max_tokens", "logprobs", "top_k", "priority", "seed", "temperature", "top_p", "min_p",
			"presence_penalty", "frequency_penalty", "repetition_penalty"} {
			for _, value := range []string{"1e308", "-1e308", "99999999999999999999", "-9223372036854775809", `"1000000000"`, deep} {
				field(name, value)
			}
			big(name, "3 MB of digits", repeat("1", "0", 3*mega, ""))
			big(name, "a million numbers", repeat("[1", ",1", mega, "]"))
			big(name, "a string of 3 MB", repeat(`"`, "9", 3*mega, `"`))
		}
		for _, name := range []string{"n", "best_of", "max_tokens", "logprobs"} {
			for _, value := range []string{"1000000000", "2147483647", "2147483648", "4294967297", "-1000000000"} {
				field(name, value)
			}
		}
		for _, name := range []string{"stop", "logit_bias", "stream_options", "cache_salt", "user", "model", "stream", "echo", "response_format", "tools", "suffix", "ignore_eos", "grammar"} {
			big(name, "a million strings", repeat(`["a"`, `,"a"`, 3*mega/4, "]"))
			big(name, "a million objects", repeat("[{}", ",{}", mega, "]"))
		}
		for _, name := range []string{"stop", "cache_salt", "model", "logit_bias", "suffix"} {
			big(name, "a string of 3 MB", repeat(`"`, "a", 3*mega, `"`))
			big(name, "escapes", repeat(`"`, `\u0000`, mega/2, `"`))
		}
		for _, name := range []string{"logit_bias", "stream_options", "other", "response_format"} {
			big(name, "300,000 names", func() string { return "{" + members(300_000) + "}" })
			big(name, "nesting", repeat(`{"a":`, "[", mega, ""))
		}
		add("n times max_tokens", repeat(least, `,"n":16,"max_tokens":2147483647}`, 1, ""))
		add("300,000 names", func() string { return "{" + members(300_000) + "}" })
		add("one name twice", repeat(least, `,"a":1`, mega/2, "}"))
		add("long names", repeat(least+`,"`, "a", 3*mega, `":1`))
		add("objects without end", repeat("", `{"":`, mega, ""))
		add("arrays without end", repeat("", "[", 4*mega-1, ""))
		add("spaces", repeat("", " ", 4*mega-1, ""))
		add("more than 4 MiB", repeat(`{"prompt":"`, "a", 5<<20, `"}`))
		add("quotes", repeat("", `"`, 4*mega-1, ""))
		add("backslashes", repeat(`{"prompt":"`, `\`, 4*mega-64, `"}`))
	}
	for name, prompt := range map[string]func() string{
		"a string of 3 MB": repeat(`"`, "a", 3*mega, `"`), "3 MB of spaces": repeat(`"`, " ", 3*mega, `"`), "escapes": repeat(`"`, `\u0000`, mega/2, `"`),
		"two million ids": repeat("[1", ",1", 2*mega-64, "]"), "a million prompts of ids": repeat("[[1]", ",[1]", mega-64, "]"),
		"a million empty prompts": repeat(`[""`, `,""`, mega, "]"), "large ids": repeat("[99999999999999999999", ",99999999999999999999", mega/8, "]"),
		"surrogates": repeat(`"`, `\ud800`, mega/2, `"`), "long characters": repeat(`"`, "\U0001F600", mega/2, `"`),
	} {
		list = append(list, bomb{"/v1/completions", "prompt = " + name, func() string { return `{"prompt":` + prompt() + "}" }})
	}
	return list
}

// A request that asks for much costs little: it is refused, soon, and what it took is given back.
func TestParameterBombs(t *testing.T) {
	list, tries := bombs(1<<17), 1
	if long.Run() {
		list, tries = bombs(1<<20), 10 // who shares the machine with others may be unlucky
	}
	if len(list) < 200 {
		t.Fatalf("%d bombs, want 200", len(list))
	}
	p := start(t, "--device cpu --threads 1")
	p.until(t, "ready")
	const good = `{"prompt":"Once upon a time","max_tokens":4,"temperature":0}`
	want := p.complete(t, good)
	var slowest time.Duration
	var slow string
	first, most := p.memory(t, "VmRSS"), int64(0)
	for _, b := range list {
		body, took := b.body(), time.Hour
		for n := 0; n < tries && took > bombTime; n++ {
			begun, used := time.Now(), p.cpu(t)
			p.refuses(t, b, body)
			took = min(took, time.Since(begun), p.cpu(t)-used) // all processors' time is less where others have them, too
			most = max(most, p.memory(t, "VmRSS")-first)
		}
		if took > slowest {
			slowest, slow = took, b.name
		}
	}
	if again := p.complete(t, good); again != want {
		t.Errorf("afterwards %q, before %q", again, want)
	}
	t.Logf("%d bombs: the slowest answer took %v, or as much of the server's processor time (%s), resident memory grew by %d KiB at most", len(list), slowest, slow, most)
	if !long.Run() {
		return
	}
	if slowest > bombTime {
		t.Errorf("%s took %v, the bound is %v", slow, slowest, bombTime)
	}
	if most > bombMemory {
		t.Errorf("resident memory grew by %d KiB, the bound is %d", most, bombMemory)
	}
}

// refuses wants the answer to b to be an error, and a short one.
func (p *process) refuses(t *testing.T, b bomb, body string) {
	t.Helper()
	resp, err := http.Post(p.url+b.path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", b.name, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if want := resp.StatusCode == 400 || resp.StatusCode == 413 || resp.StatusCode == 404 && strings.HasPrefix(b.name, "model"); err != nil || !want {
		t.Errorf("%s %s: %d %.200s (%v)", b.path, b.name, resp.StatusCode, data, err)
	}
	if len(data) > 4096 {
		t.Errorf("%s %s: the answer has %d bytes: it repeats the request", b.path, b.name, len(data))
	}
}
