// Command llmqat-serve serves a .qat model over OpenAI's completions and chat APIs.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/llmqat/llmqat/serve"
	"github.com/llmqat/llmqat/serve/chat"
)

var version = "dev" // set by the linker

const about = `Serves a .qat model over OpenAI's completions and chat APIs. Without --model it serves a demo model of
260,000 parameters that tells small stories.

  llmqat-serve --model tinyllama.qat
  curl http://127.0.0.1:8080/v1/completions -d '{"prompt":"Once upon a time","max_tokens":64}'

Every flag is also a variable: --kv-memory is LLMQAT_KV_MEMORY. --config names a TOML file of them, with lines as
kv-memory = "2GiB". A flag goes before a variable, a variable before the file.`

type flags struct {
	Model     string `help:"A .qat file. Unset: the demo model." placeholder:"FILE"`
	ModelName string `help:"The model's name in the API. Unset: the file's, without .qat." placeholder:"NAME"`
	Chat      string `name:"chat-template" help:"How conversations are written for the model: a Jinja file, or one of ${chats}. Unset: as the model's file says." placeholder:"NAME|FILE"`
	Addr      string `help:"Where to listen; port 0 takes a free one." default:"127.0.0.1:8080"`

	Ctx            int    `help:"Tokens of prompt and answer together, at most the model's. 0: the model's." default:"0"`
	MaxSeqs        int    `help:"Requests that run together." default:"32"`
	StepTokens     int    `help:"Tokens computed in one step: more fill a GPU. 0: 512." default:"0"`
	ChunkTokens    int    `help:"Of them, tokens of prompts while others' answers wait for the step: fewer let answers flow, more begin new ones sooner. 0: 32 on a CPU, all on a GPU." default:"0"`
	MaxQueue       int    `help:"Requests that wait; more are answered 429." default:"256"`
	MaxQueueTokens int64  `help:"Their tokens: prompts, and up to 1024 of each answer. 0: four times what the KV cache holds." default:"0"`
	KVMemory       bytes  `help:"Memory for the KV cache, as 512MB or 2GiB. 0: room for what runs together, on a GPU as far as its memory goes." default:"0"`
	Device         string `help:"What computes: cpu, cuda (the first GPU), cuda:N, or auto: the first GPU where one runs, else the CPU." default:"auto"`
	Threads        int    `help:"Threads that compute; on a GPU those that draw tokens. 0: one a core." default:"0"`
	Verify         bool   `help:"Check every weight's checksum before serving."`

	APIKeys       string   `name:"api-keys" help:"File of API keys, one a line: KEY, NAME:KEY or NAME KEY. Read again on SIGHUP. Unset: no key is wanted." placeholder:"FILE" type:"path"`
	APIKey        string   `name:"api-key" help:"One more key. Set the variable LLMQAT_API_KEY, as others may read a process's flags." placeholder:"KEY"`
	MetricsPublic bool     `help:"GET /metrics needs no key."`
	TLSCert       string   `name:"tls-cert" help:"Certificate chain in PEM, for HTTPS. Read again when it changes." placeholder:"FILE" type:"path"`
	TLSKey        string   `name:"tls-key" help:"Its key." placeholder:"FILE" type:"path"`
	CORSOrigin    []string `name:"cors-origin" help:"Web pages that may use the server, as https://app.example.org; * for all. Unset: its own page." placeholder:"ORIGIN"`

	ReadTimeout  time.Duration `help:"For a request to arrive." default:"30s"`
	IdleTimeout  time.Duration `help:"For the next request on a connection." default:"2m"`
	WriteTimeout time.Duration `help:"For a client to take the next piece of an answer." default:"30s"`
	DrainTimeout time.Duration `help:"For requests under way to end after SIGTERM." default:"30s"`
	DrainDelay   time.Duration `help:"After SIGTERM, how long to go on taking requests while /ready says 503, for load balancers to hear of it." default:"0s"`
	PingInterval time.Duration `help:"Between comments that keep a silent stream open." default:"15s"`
	MaxBody      bytes         `help:"A request's body." default:"4MiB"`
	MaxConns     int           `help:"Open connections." default:"4096"`

	LogLevel  slog.Level `help:"debug, info, warn or error." default:"info"`
	LogFormat string     `help:"text or json." enum:"text,json" default:"text"`

	Config      kong.ConfigFlag  `help:"TOML file of settings." placeholder:"FILE"`
	Plan        bool             `help:"Print what the model would take, and end." env:"-"`
	Healthcheck string           `help:"Ask a running server by the URL of its /health, and end: well where it is." placeholder:"URL" env:"-"`
	Version     kong.VersionFlag `help:"Print the version." env:"-"`
}

// Validate refuses what no flag can mean; load checks what depends on the model.
func (f *flags) Validate() error {
	for name, v := range map[string]int64{
		"max-queue": int64(f.MaxQueue), "max-conns": int64(f.MaxConns), "read-timeout": int64(f.ReadTimeout), "idle-timeout": int64(f.IdleTimeout),
		"max-queue-tokens": f.MaxQueueTokens, "step-tokens": int64(f.StepTokens), "chunk-tokens": int64(f.ChunkTokens), "drain-delay": int64(f.DrainDelay), "write-timeout": int64(f.WriteTimeout), "drain-timeout": int64(f.DrainTimeout), "ping-interval": int64(f.PingInterval),
	} {
		if v < 0 {
			return fmt.Errorf("--%s is negative: want 0 or more", name)
		}
	}
	for _, o := range f.CORSOrigin {
		if err := serve.CheckOrigin(o); err != nil {
			return fmt.Errorf("--cors-origin: %w", err)
		}
	}
	if (f.TLSCert == "") != (f.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together: set both or none")
	}
	return nil
}

// options say how kong reads flags.
func options() []kong.Option {
	return []kong.Option{kong.Name("llmqat-serve"), kong.Description(about), kong.DefaultEnvars("LLMQAT"),
		kong.Configuration(readConfig), kong.Vars{"version": version, "chats": strings.Join(chat.Names(), ", ")}, kong.ShortUsageOnError()}
}

func (f *flags) logger() *slog.Logger {
	o := &slog.HandlerOptions{Level: f.LogLevel}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}

func main() {
	var f flags
	kong.Parse(&f, options()...)
	slog.SetDefault(f.logger())
	if err := f.do(); err != nil {
		fmt.Fprintln(os.Stderr, "llmqat-serve:", err)
		os.Exit(1)
	}
}

// do does what the flags ask for.
func (f *flags) do() error {
	switch {
	case f.Healthcheck != "":
		return healthcheck(f.Healthcheck)
	case f.Plan:
		return plan(f, os.Stdout)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	return run(f, signals)
}
