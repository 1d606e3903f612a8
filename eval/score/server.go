package score

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/llmqat/llmqat/format/tokenizer"
)

// ServerOptions say which server is asked, and how. Zero values stand for the defaults.
type ServerOptions struct {
	URL       string               // as http://localhost:8080/v1
	Model     string               // as the server calls it: the first that it lists
	Key       string               // none
	Tokenizer *tokenizer.Tokenizer // required: what the requests' ids mean, to the server, too
	Context   int                  // tokens of a request and one that may follow: what the server says

	Prompts  int           // of a call: 8
	Calls    int           // at once: 4
	Timeout  time.Duration // of a call: 5 minutes
	Patience time.Duration // for so long after it failed a call is made again: 5 minutes
}

// Server scores by the completions of an OpenAI-compatible server that answers echo with the
// log-probabilities of the prompt's tokens, as llmqat-serve and vLLM do. Prompts are sent as ids.
//
// A token's logprob is the server's, a float32. A continuation is greedy where no other token
// than its own stands in top_logprobs with as high a one.
type Server struct {
	o    ServerOptions
	base *url.URL // with a password, where URL has one
	http *http.Client
	form form
}

// form is how a server is asked.
type form struct {
	prompts int // of a call; with 1 the prompt is an array of ids, else one of such arrays
	more    int // max_tokens: 0, or 1 where that is refused
}

// NewServer finds out what the server takes, and that ids mean the same to it.
func NewServer(ctx context.Context, o ServerOptions) (*Server, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no server's address: want one as http://localhost:8080/v1", o.URL)
	}
	if u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/completions"); u.Path == "" {
		u.Path = "/v1"
	}
	o.URL = u.Redacted()
	if o.Tokenizer == nil {
		return nil, fmt.Errorf("%s: no tokenizer: give the server's own", o.URL)
	}
	setDefault(&o.Prompts, 8)
	setDefault(&o.Calls, 4)
	setDefault(&o.Timeout, 5*time.Minute)
	setDefault(&o.Patience, 5*time.Minute)
	s := &Server{o: o, base: u, http: &http.Client{
		Timeout:   o.Timeout,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: o.Calls, IdleConnTimeout: 2 * time.Second},
	}}
	err = s.listed(ctx)
	if err == nil {
		err = s.probe(ctx)
	}
	if err == nil && s.MaxTokens() < 2 {
		err = fmt.Errorf("a context of %d tokens holds no prompt and what follows it: give the served model's context", s.o.Context)
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("%s: %w", o.URL, err)
	}
	return s, nil
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// Model is what the server calls the model.
func (s *Server) Model() string { return s.o.Model }

// URL is where the completions are, without that word, and without a password.
func (s *Server) URL() string { return s.o.URL }

// MaxTokens is the server's context, less a token where it has to generate one.
func (s *Server) MaxTokens() int { return s.o.Context - s.form.more }

// Close lets the connections go.
func (s *Server) Close() error {
	s.http.CloseIdleConnections()
	return nil
}

// Score implements Scorer.
func (s *Server) Score(ctx context.Context, requests []Request, done func(i int, s Score) error) error {
	err := check(requests, s.MaxTokens())
	if err == nil {
		err = each(ctx, requests, s.form.prompts, s.o.Calls, s.ask, done)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.o.URL, err)
	}
	return nil
}

// ask scores the requests of a call.
func (s *Server) ask(ctx context.Context, list []Request) (scores []Score, err error) {
	prompts := make([][]int32, len(list))
	for i, r := range list {
		prompts[i] = slices.Concat(r.Context, r.Continuation)
	}
	choices, err := s.complete(ctx, s.form, prompts)
	if err != nil {
		return nil, err
	}
	for i, r := range list {
		one, err := choices[i].score(r, s.form.more)
		if err != nil {
			return scores, err
		}
		scores = append(scores, one)
	}
	return scores, nil
}

// listed asks for the models, and takes what was not given from the answer.
func (s *Server) listed(ctx context.Context) error {
	var list struct {
		Data []struct {
			ID          string `json:"id"`
			MaxModelLen int    `json:"max_model_len"` // vLLM's
		} `json:"data"`
	}
	err := s.patiently(ctx, false, func() error { return s.call(ctx, http.MethodGet, "/models", nil, 1<<20, &list) })
	var status *statusError
	switch {
	case errors.As(err, &status) && status.code == http.StatusNotFound && s.o.Model != "" && s.o.Context > 0:
		return nil // it has no such list, and need not
	case err != nil:
		return err
	}
	for _, m := range list.Data {
		if s.o.Model == "" {
			s.o.Model = m.ID
		}
		if m.ID == s.o.Model {
			setDefault(&s.o.Context, m.MaxModelLen)
		}
	}
	if s.o.Model == "" && s.o.Context <= 0 {
		return errors.New("the server lists no model in /models: give its name and its context")
	}
	if s.o.Context <= 0 {
		return fmt.Errorf("the server does not say how many tokens the model %q takes (max_model_len in /models): give its context", s.o.Model)
	}
	return nil
}
