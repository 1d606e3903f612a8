package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/llmqat/llmqat/bench"
	"github.com/llmqat/llmqat/bench/load"
)

const aboutServe = `Puts load on any server of OpenAI's API (llmqat-serve, llama-server, ik_llama.cpp, vLLM) and measures
what its users would see: throughput, the time to the first token, the time between tokens, errors.

  bench serve                                         16 requests at once, 64 tokens in, 64 out
  bench serve --concurrency 1,4,16 --output 32        one row for each
  bench serve --rate 0.5,1,2 --duration 1m            requests that come at random, so many a second
  bench serve --input lognormal:256,0.8,1500 --output exponential:128,512
  bench serve --prefix 1000 --prefixes 4              what a cache of prefixes gains
  bench serve --api chat --words book.txt             prompts of a book's words
  bench serve --url ours=http://127.0.0.1:8080,theirs=http://127.0.0.1:8081 --rounds 5

Several servers get the same requests in turn, round by round, and are compared by the ratio of each
round: that holds on a machine whose speed changes. --out NAME also writes NAME.json (with the times of
every request), NAME.svg and NAME.txt. A refusal (HTTP 429) is counted, not tried again.

Every flag is also a variable: --rate is LLMQAT_BENCH_SERVE_RATE. OpenAI's own servers know no
ignore_eos and want --stop-at-eos.`

type serveFlags struct {
	URL   []string `help:"Servers, each as http://HOST:PORT or NAME=http://HOST:PORT; the first is the base of ratios." default:"http://127.0.0.1:8080" placeholder:"URL"`
	API   string   `help:"completions or chat." enum:"completions,chat" default:"completions"`
	Model []string `help:"The model to ask for, one for all servers or one each. Unset: the first that a server lists." placeholder:"NAME"`
	Key   []string `help:"API key, one for all servers or one each." placeholder:"KEY"`
	PID   []int    `name:"pid" help:"The servers' processes on this machine, whose memory and processor time are then reported; 0: not this one's." placeholder:"PID"`

	Concurrency []int         `help:"Requests under way at any time. Default 16." xor:"load" placeholder:"N"`
	Rate        []float64     `help:"Requests a second that come at random, however many are under way." xor:"load" placeholder:"R"`
	Requests    int           `help:"Requests of each measurement." default:"64"`
	Duration    time.Duration `help:"Send requests for so long, instead of a number of them." placeholder:"TIME"`
	Rounds      int           `help:"Measure everything so often, the servers in turn. Default 1; of several servers 3."`

	Input       load.Lengths `help:"Tokens of a prompt: 64, 32-512, lognormal:MEDIAN,SIGMA[,MOST] or exponential:MEAN[,MOST]." default:"64"`
	Output      load.Lengths `help:"Tokens of an answer, likewise." default:"64"`
	Prefix      int          `help:"Tokens before the prompt that requests have in common."`
	Prefixes    int          `help:"How many such prefixes there are; each request has one of them." default:"1"`
	Prompt      string       `help:"What prompts are made of: ids, exactly as many token ids, or text of about that length. A chat's are text." enum:"ids,text" default:"ids"`
	Vocab       int          `help:"Token ids are drawn from the upper half of so many." default:"512"`
	Words       string       `help:"File whose words prompts of text are made of. Unset: a hundred common ones." type:"existingfile" placeholder:"FILE"`
	StopAtEOS   bool         `name:"stop-at-eos" help:"Let answers end early: do not send ignore_eos."`
	Temperature float64      `help:"Of sampling; 0 takes the most likely token." default:"0"`
	Seed        uint64       `help:"Of arrivals, lengths and prompts; requests carry it, too." default:"1"`

	Warmup  int           `help:"Requests to each server, all at once, before anything is measured." default:"1"`
	Timeout time.Duration `help:"Of a whole request." default:"10m"`
	Reuse   bool          `help:"Use connections again." default:"true" negatable:""`
	Out     string        `help:"Write NAME.json, NAME.svg and NAME.txt." type:"path" placeholder:"NAME"`

	Version kong.VersionFlag `help:"Print the version." env:"-"`
}

// serve is bench serve.
func serve(ctx context.Context, args []string) (*kong.Kong, error) {
	var f serveFlags
	k := kong.Must(&f, kong.Name("bench serve"), kong.Description(aboutServe), kong.DefaultEnvars("LLMQAT_BENCH_SERVE"),
		kong.Vars{"version": version}, kong.ShortUsageOnError())
	if _, err := k.Parse(args); err != nil {
		return k, err
	}
	o, err := f.options()
	if err != nil {
		return k, err
	}
	if f.Out != "" {
		if err := bench.CheckOut(f.Out); err != nil {
			return k, err
		}
	}
	report, err := load.Run(ctx, o)
	if err != nil {
		return k, err
	}
	if err := report.Table(os.Stdout); err != nil || f.Out == "" {
		return k, err
	}
	return k, save(report, f.Out)
}

func (f *serveFlags) options() (o load.Options, err error) {
	o = load.Options{
		Chat: f.API == "chat", Concurrency: f.Concurrency, Rates: f.Rate, Requests: f.Requests, Duration: f.Duration, Rounds: f.Rounds,
		Input: f.Input, Output: f.Output, Text: f.Prompt == "text", Vocab: f.Vocab, Prefix: f.Prefix, Prefixes: f.Prefixes,
		Temperature: f.Temperature, Seed: f.Seed, StopAtEOS: f.StopAtEOS, Warmup: f.Warmup, Timeout: f.Timeout, NewConns: !f.Reuse,
		Version: version, Command: withoutKeys(os.Args), Log: os.Stderr,
	}
	if o.Rounds == 0 && len(f.URL) > 1 {
		o.Rounds = 3
	}
	if f.Words != "" {
		b, err := os.ReadFile(f.Words)
		if err != nil {
			return o, err
		}
		if o.Words = strings.Fields(string(b)); len(o.Words) == 0 {
			return o, fmt.Errorf("--words %s: no words in it", f.Words)
		}
	}
	for i, text := range f.URL {
		s, err := load.ParseServer(text)
		if err != nil {
			return o, fmt.Errorf("--url: %w", err)
		}
		if s.Model, err = one("model", f.Model, i, len(f.URL)); err != nil {
			return o, err
		}
		if s.Key, err = one("key", f.Key, i, len(f.URL)); err != nil {
			return o, err
		}
		if len(f.PID) == 1 && len(f.URL) > 1 {
			return o, fmt.Errorf("--pid has one process for %d servers: want one each, 0 where it is not to be watched", len(f.URL))
		}
		if s.PID, err = one("pid", f.PID, i, len(f.URL)); err != nil {
			return o, err
		}
		o.Servers = append(o.Servers, s)
	}
	return o, nil
}

// one returns the value for server i of n: its own, or the one for all.
func one[T any](flag string, values []T, i, n int) (v T, err error) {
	switch len(values) {
	case 0:
		return v, nil
	case 1:
		return values[0], nil
	case n:
		return values[i], nil
	}
	return v, fmt.Errorf("--%s has %d values for %d servers: want one, or one each", flag, len(values), n)
}

// withoutKeys is the command line as a report may show it.
func withoutKeys(args []string) (list []string) {
	hide := false
	for _, a := range args {
		name, _, joined := strings.Cut(a, "=")
		switch {
		case hide:
			a, hide = "...", false
		case name == "--key" && joined:
			a = "--key=..."
		case a == "--key":
			hide = true
		}
		list = append(list, a)
	}
	return list
}
