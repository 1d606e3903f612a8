package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"
)

// client sends requests to one server.
type client struct {
	server *Server
	o      *Options
	http   *http.Client
	fresh  *http.Client // every request has a connection of its own
}

// idleTimeout is shorter than any server's (llama-server's is 5 s): few requests are sent into
// connections that are being closed.
const idleTimeout = 2 * time.Second

func (o *Options) newClient(s *Server) *client {
	dial := o.dialServer
	if dial == nil {
		dial = (&net.Dialer{Timeout: 30 * time.Second}).DialContext
	}
	one := func(fresh bool) *http.Client {
		return &http.Client{
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, DialContext: dial, DisableCompression: true, DisableKeepAlives: fresh,
				MaxIdleConnsPerHost: 1 << 16, IdleConnTimeout: idleTimeout,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &client{s, o, one(o.NewConns), one(true)}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// start sends a request. Where a connection that was used before ends without an answer, it is
// sent once more, on a new one, and again is true: servers close connections that they need not
// keep, and every client's pool has to live with that.
func (c *client) start(ctx context.Context, method, path string, body []byte) (resp *http.Response, again bool, err error) {
	var used bool
	seen := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { used = i.Reused }})
	resp, err = c.try(seen, method, path, body, false)
	if err == nil || !used || ctx.Err() != nil {
		return resp, false, err
	}
	resp, err = c.try(ctx, method, path, body, true)
	return resp, true, err
}

// try sends a request, on a connection of its own where that is asked for.
func (c *client) try(ctx context.Context, method, path string, body []byte, fresh bool) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.server.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.server.Key != "" {
		r.Header.Set("Authorization", "Bearer "+c.server.Key)
	}
	if fresh {
		return c.fresh.Do(r)
	}
	return c.http.Do(r)
}

const maxAnswer = 1 << 20 // bytes of what is no stream

// ask is a request whose answer is read as a whole.
func (c *client) ask(ctx context.Context, method, path string, v any) (answer []byte, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var body []byte
	if v != nil {
		if body, err = json.Marshal(v); err != nil {
			return nil, 0, err
		}
	}
	resp, _, err := c.start(ctx, method, path, body)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return answer, resp.StatusCode, err
}

// connect finds out whether the server is there, and its model unless that is given.
func (c *client) connect(ctx context.Context) error {
	b, status, err := c.ask(ctx, http.MethodGet, "/v1/models", nil)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w: start the server, or name another by --url", c.server.Name, err)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fmt.Errorf("%s: HTTP %d: %s: give it its key by --key", c.server.Name, status, firstLine(b))
	case status == http.StatusServiceUnavailable:
		return fmt.Errorf("%s: HTTP 503: %s: try again when it is ready", c.server.Name, firstLine(b))
	case c.server.Model != "":
		return nil
	}
	var list struct{ Data []struct{ ID string } }
	if json.Unmarshal(b, &list) == nil && len(list.Data) > 0 { // else none is sent: some servers have one only
		c.server.Model = list.Data[0].ID
	}
	return nil
}

// body is what a completion is asked for by.
type body struct {
	Model         string        `json:"model,omitempty"`
	Prompt        any           `json:"prompt,omitempty"`
	Messages      []message     `json:"messages,omitempty"`
	MaxTokens     int           `json:"max_tokens"`
	Temperature   float64       `json:"temperature"`
	Seed          uint64        `json:"seed"`
	Stream        bool          `json:"stream"`
	StreamOptions streamOptions `json:"stream_options"`
	IgnoreEOS     bool          `json:"ignore_eos,omitempty"`
}

type message struct {
	Role    string `json:"role"`
	Content any    `json:"content"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// encode returns the path and the body of r.
func (c *client) encode(r *request) (path string, b []byte) {
	v := body{Model: c.server.Model, MaxTokens: r.output, Temperature: c.o.Temperature, Seed: r.seed, Stream: true,
		StreamOptions: streamOptions{true}, IgnoreEOS: !c.o.StopAtEOS}
	path = "/v1/completions"
	if c.o.Chat {
		path, v.Messages = "/v1/chat/completions", []message{{"user", r.prompt}}
	} else {
		v.Prompt = r.prompt
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only numbers, strings and ids stand in it
	}
	return path, b
}
