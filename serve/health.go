package serve

import "github.com/valyala/fasthttp"

// health says whether the process is worth keeping: 200 from when the model is loaded, also while it drains. It is
// 503 while loading, when nobody should send requests yet, and once the device is lost, so that whoever watches it
// starts the process again.
func (s *Server) health(ctx *fasthttp.RequestCtx) error {
	m, err := s.current()
	if err == nil {
		err = m.Generator.Err()
	}
	if err != nil {
		return err
	}
	writeJSON(ctx, map[string]string{"status": "ok"})
	return nil
}

// ready returns the model when a completion would be taken now; with an error, it may return the model too. A full
// queue is no reason: were all replicas taken out for it, clients would find nobody instead of a 429.
func (s *Server) ready() (*Model, error) {
	m, err := s.current()
	switch {
	case err != nil:
		return nil, err
	case m.Generator.Err() != nil:
		return m, m.Generator.Err()
	case s.draining.Load():
		return m, unavailable("the server is shutting down")
	}
	return m, nil
}

// readiness answers GET /ready: 200 when requests should be sent here, with what waits and runs.
func (s *Server) readiness(ctx *fasthttp.RequestCtx) error {
	m, err := s.ready()
	if err != nil {
		return err
	}
	stats := m.Generator.Stats()
	var answer struct {
		Status string `json:"status"`
		Queue  struct {
			Requests int   `json:"requests"`
			Tokens   int64 `json:"tokens"`
		} `json:"queue"`
		Running int `json:"running"`
	}
	answer.Status, answer.Running = "ready", stats.Running
	answer.Queue.Requests, answer.Queue.Tokens = stats.Waiting, stats.WaitingTokens
	writeJSON(ctx, answer)
	return nil
}
