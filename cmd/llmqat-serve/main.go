// Command llmqat-serve serves a .qat model over OpenAI's completions API.
package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

var version = "dev" // set by the linker

const about = `Serves a .qat model over OpenAI's completions API. Without --model it serves a demo model of
260,000 parameters that tells small stories.

  llmqat-serve --model tinyllama.qat
  curl http://127.0.0.1:8080/v1/completions -d '{"prompt":"Once upon a time","max_tokens":64}'

Every flag is also a variable: --kv-memory is LLMQAT_KV_MEMORY.`

type flags struct {
	Model     string `help:"A .qat file. Unset: the demo model." placeholder:"FILE"`
	ModelName string `help:"The model's name in the API. Unset: the file's, without .qat." placeholder:"NAME"`
	Addr      string `help:"Where to listen; port 0 takes a free one." default:"127.0.0.1:8080"`

	Ctx      int    `help:"Tokens of prompt and answer together, at most the model's. 0: the model's." default:"0"`
	MaxSeqs  int    `help:"Requests that run together." default:"32"`
	MaxQueue int    `help:"Requests that wait; more are answered 429." default:"256"`
	KVMemory bytes  `help:"Memory for the KV cache, as 512MB or 2GiB. 0: room for what runs together, on a GPU as far as its memory goes." default:"0"`
	Device   string `help:"What computes: cpu, cuda (the first GPU), cuda:N, or auto: the first GPU where one runs, else the CPU." default:"auto"`
	Threads  int    `help:"Threads that compute; on a GPU those that draw tokens. 0: one a core." default:"0"`
	Verify   bool   `help:"Check every weight's checksum before serving."`

	APIKeys       string `name:"api-keys" help:"File of API keys, one a line: KEY, NAME:KEY or NAME KEY. Read again on SIGHUP. Unset: no key is wanted." placeholder:"FILE" type:"path"`
	APIKey        string `name:"api-key" help:"One more key. Set the variable LLMQAT_API_KEY, as others may read a process's flags." placeholder:"KEY"`
	MetricsPublic bool   `help:"GET /metrics needs no key."`

	ReadTimeout  time.Duration `help:"For a request to arrive." default:"30s"`
	IdleTimeout  time.Duration `help:"For the next request on a connection." default:"2m"`
	WriteTimeout time.Duration `help:"For a client to take the next piece of an answer." default:"30s"`
	DrainTimeout time.Duration `help:"For requests under way to end after SIGTERM." default:"30s"`
	PingInterval time.Duration `help:"Between comments that keep a silent stream open." default:"15s"`
	MaxBody      bytes         `help:"A request's body." default:"4MiB"`
	MaxConns     int           `help:"Open connections." default:"4096"`

	LogLevel slog.Level       `help:"debug, info, warn or error." default:"info"`
	Version  kong.VersionFlag `help:"Print the version." env:"-"`
}

// Validate refuses what no flag can mean; load checks what depends on the model.
func (f *flags) Validate() error {
	for name, v := range map[string]int64{
		"max-queue": int64(f.MaxQueue), "max-conns": int64(f.MaxConns), "read-timeout": int64(f.ReadTimeout), "idle-timeout": int64(f.IdleTimeout),
		"write-timeout": int64(f.WriteTimeout), "drain-timeout": int64(f.DrainTimeout), "ping-interval": int64(f.PingInterval),
	} {
		if v < 0 {
			return fmt.Errorf("--%s is negative: want 0 or more", name)
		}
	}
	return nil
}

func main() {
	var f flags
	kong.Parse(&f, kong.Name("llmqat-serve"), kong.Description(about), kong.DefaultEnvars("LLMQAT"),
		kong.Vars{"version": version}, kong.ShortUsageOnError())
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: f.LogLevel})))

	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if err := run(&f, signals); err != nil {
		fmt.Fprintln(os.Stderr, "llmqat-serve:", err)
		os.Exit(1)
	}
}
