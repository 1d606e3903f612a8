package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/llmqat/llmqat/eval/score"
	"github.com/llmqat/llmqat/eval/task"
	"github.com/llmqat/llmqat/format/source"
)

// serverFlags name a server that is asked instead of a model.
type serverFlags struct {
	URL           string        `name:"url" help:"Instead of --model: ask an OpenAI-compatible server whose completions answer echo with logprobs, as llmqat-serve's and vLLM's do." xor:"model" required:"" placeholder:"http://HOST/v1"`
	ServedModel   string        `name:"served-model" help:"What the server calls the model. Unset: the first that it lists." placeholder:"NAME"`
	APIKey        string        `name:"api-key" help:"The server's key." placeholder:"KEY"`
	Tokenizer     string        `help:"The tokenizer of the served model or of --shape: tokenizer.model, tokenizer.json, a Hugging Face directory or a .qat file; or the file of a float model that lacks it." type:"path" placeholder:"FILE"`
	ServedContext int           `name:"served-context" help:"Tokens that the served model takes, where the server does not say (max_model_len in /v1/models)." placeholder:"N"`
	Calls         int           `help:"Calls to the server at once, of 8 prompts each. Unset: 4." placeholder:"N"`
	Timeout       time.Duration `help:"Of a call. One that failed for a full queue, a restart or a lost connection is made again, for 5 minutes." default:"5m"`
}

func (c *serverFlags) check(hash bool, teacher string) error {
	switch {
	case c.URL == "" && (c.ServedModel != "" || c.APIKey != "" || c.ServedContext != 0 || c.Calls != 0):
		return errors.New("--served-model, --served-context, --api-key and --calls are about a server: give its --url")
	case c.ServedContext < 0 || c.Calls < 0 || c.Timeout < 0:
		return fmt.Errorf("--served-context %d, --calls %d, --timeout %v: none is below 0", c.ServedContext, c.Calls, c.Timeout)
	case c.URL != "" && c.Tokenizer == "":
		return errors.New("--url: give the served model's tokenizer by --tokenizer: the server is asked in token ids")
	case c.URL != "" && (hash || teacher != ""):
		return errors.New("--teacher and --hash want all logits, which no server tells: they go with --model")
	}
	return nil
}

// evalServer asks a server.
func (c *evalCmd) evalServer(ctx context.Context, sets []*task.Set, log io.Writer) (r *evalReport, err error) {
	tok, err := source.Tokenizer(c.Tokenizer)
	if err != nil {
		return nil, err
	}
	s, err := score.NewServer(ctx, score.ServerOptions{
		URL: c.URL, Model: c.ServedModel, Key: c.APIKey, Tokenizer: tok, Context: c.ServedContext, Calls: c.Calls, Timeout: c.Timeout,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r = &evalReport{Model: s.Model(), URL: s.URL()}
	if c.hasText() {
		if r.textReport, err = c.scoreText(ctx, s, tok, log); err != nil {
			return nil, err
		}
	}
	if sets == nil {
		return r, nil
	}
	_, file := tok.File()
	m := task.Model{Name: s.URL(), Scorer: s, Tokenizer: tok, ID: fmt.Sprintf("%s %s, tokenizer sha256:%x", s.URL(), s.Model(), sha256.Sum256(file))}
	r.Report, err = c.evalTasks(ctx, sets, []task.Model{m}, log)
	return r, err
}
