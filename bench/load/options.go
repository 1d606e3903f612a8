// Package load puts load on servers of OpenAI's API, whoever made them, and measures
// what their users would see: throughput, the time to the first token, the time between
// tokens, errors. Several servers get the same requests in turn, so that a machine whose
// speed drifts treats them alike.
//
// Its client is net/http's: a load generator that shared code with the server would
// share its mistakes.
package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Options say what load to put on which servers. Zero values of Requests, Rounds, Vocab,
// Timeout and of the texts stand for the defaults that fill has.
type Options struct {
	Servers []Server
	Chat    bool // /v1/chat/completions, else /v1/completions

	// One of these: how many requests are under way at any time, or how many come in a
	// second, at random (Poisson). Each entry is measured by itself.
	Concurrency []int
	Rates       []float64

	Requests int           // of each measurement and round
	Duration time.Duration // above 0: instead, requests are sent for so long
	Rounds   int           // of all measurements; the servers take turns in each

	Input, Output Lengths // tokens of a prompt, beside the prefix, and of an answer
	Text          bool    // prompts are text instead of token ids; those of a chat always are
	Words         []string
	Vocab         int // token ids are drawn from the upper half of so many
	Prefix        int // tokens that a prompt begins with and shares with others
	Prefixes      int // how many such beginnings there are

	Temperature float64
	Seed        uint64 // of lengths, prompts and arrivals, and sent with the requests
	StopAtEOS   bool   // answers may end early: no ignore_eos is sent, which OpenAI does not know

	Warmup     int           // requests to each server before anything is measured
	Timeout    time.Duration // of a whole request
	NewConns   bool          // a connection for each request
	Version    string        // of bench, for the report
	Command    []string      // by which it was started, for the report
	Log        io.Writer     // progress
	dialServer func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Server is one that gets load.
type Server struct {
	Name  string `json:"name"`
	URL   string `json:"url"`   // without /v1
	Model string `json:"model"` // "": the first that it lists
	Key   string `json:"-"`
	PID   int    `json:"pid,omitempty"` // above 0: its memory and processor time are read from /proc
}

// ParseServer reads URL or NAME=URL; a server without a name has that of its address.
func ParseServer(s string) (Server, error) {
	name, address, named := strings.Cut(s, "=")
	if !named || strings.Contains(name, "/") {
		name, address = "", s
	}
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" {
		return Server{}, fmt.Errorf("%q is no server: want its address, as http://127.0.0.1:8080, or name=http://127.0.0.1:8080", s)
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/v1")
	return Server{Name: cmp.Or(name, u.Host+u.Path), URL: u.String()}, nil
}

func (o *Options) fill() error {
	o.Requests, o.Rounds, o.Vocab = cmp.Or(o.Requests, 64), cmp.Or(o.Rounds, 1), cmp.Or(o.Vocab, 512)
	o.Timeout, o.Prefixes = cmp.Or(o.Timeout, 10*time.Minute), cmp.Or(o.Prefixes, 1)
	o.Input, o.Output = cmp.Or(o.Input, fixed(64)), cmp.Or(o.Output, fixed(64))
	if len(o.Concurrency)+len(o.Rates) == 0 {
		o.Concurrency = []int{16}
	}
	if len(o.Words) == 0 {
		o.Words = words
	}
	o.Text = o.Text || o.Chat
	switch {
	case len(o.Servers) == 0:
		return errors.New("no server: want at least one")
	case len(o.Concurrency) > 0 && len(o.Rates) > 0:
		return errors.New("concurrency and rate: want one of them")
	case slices.ContainsFunc(o.Concurrency, func(n int) bool { return n < 1 }):
		return fmt.Errorf("concurrency of %v; want at least 1", o.Concurrency)
	case slices.ContainsFunc(o.Rates, func(r float64) bool { return !(r > 0) || math.IsInf(r, 1) }):
		return fmt.Errorf("rates of %v requests a second; want above 0", o.Rates)
	case o.Requests < 1 || o.Duration < 0 || o.Rounds < 1 || o.Warmup < 0 || o.Timeout < 0:
		return fmt.Errorf("%d requests, %v, %d rounds, %d requests to warm up, a timeout of %v; none may be negative", o.Requests, o.Duration, o.Rounds, o.Warmup, o.Timeout)
	case o.Vocab < 2:
		return fmt.Errorf("a vocabulary of %d; want at least 2", o.Vocab)
	case o.Prefix < 0 || o.Prefixes < 1:
		return fmt.Errorf("%d prefixes of %d tokens; want at least one of 0 or more", o.Prefixes, o.Prefix)
	case !(o.Temperature >= 0) || math.IsInf(o.Temperature, 1):
		return fmt.Errorf("temperature %v; want 0 or more", o.Temperature)
	}
	seen := map[string]bool{}
	for _, s := range o.Servers {
		if seen[s.Name] {
			return fmt.Errorf("two servers are called %s: give each a name, as in --url a=%s", s.Name, s.URL)
		}
		seen[s.Name] = true
	}
	return nil
}

// level is one measurement of each round: so many requests at any time, or so many a second.
type level struct {
	concurrency int
	rate        float64
}

func (o *Options) levels() (list []level) {
	for _, n := range o.Concurrency {
		list = append(list, level{concurrency: n})
	}
	for _, r := range o.Rates {
		list = append(list, level{rate: r})
	}
	return list
}

// String is the level as rows of a table name it.
func (l level) String() string {
	if l.rate > 0 {
		return fmt.Sprintf("%g/s", l.rate)
	}
	return fmt.Sprintf("%d at once", l.concurrency)
}

// what says what a request is.
func (o *Options) what() string {
	api, prompts := "/v1/completions", "token ids"
	if o.Chat {
		api = "/v1/chat/completions"
	}
	if o.Text {
		prompts = "text"
	}
	s := fmt.Sprintf("%s: %s tokens in (%s), %s out", api, o.Input, prompts, o.Output)
	if o.Prefix > 0 {
		s += fmt.Sprintf(", after one of %d prefixes of %d tokens", o.Prefixes, o.Prefix)
	}
	s += fmt.Sprintf("; temperature %g, seed %d; ", o.Temperature, o.Seed)
	if o.Duration > 0 {
		s += o.Duration.String()
	} else {
		s += fmt.Sprintf("%d requests", o.Requests)
	}
	if o.Rounds > 1 {
		s += fmt.Sprintf(" in each of %d rounds", o.Rounds)
	}
	return s
}
