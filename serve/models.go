package serve

import (
	"strings"

	"github.com/valyala/fasthttp"
)

// current returns the model, or a 503 while there is none.
func (s *Server) current() (*Model, error) {
	if m := s.model.Load(); m != nil {
		return m, nil
	}
	return nil, unavailable("the model is loading")
}

// modelJSON is OpenAI's model object, with vLLM's max_model_len. Clients pass over members that they do not know.
type modelJSON struct {
	ID          string `json:"id"`
	Object      string `json:"object"`
	Created     int64  `json:"created"`
	OwnedBy     string `json:"owned_by"`
	MaxModelLen int    `json:"max_model_len"`
	Card        *Card  `json:"llmqat,omitempty"` // not in lists
}

func describe(m *Model) modelJSON {
	return modelJSON{ID: m.Name, Object: "model", Created: m.Created.Unix(), OwnedBy: "llmqat", MaxModelLen: m.MaxContext}
}

func (s *Server) listModels(ctx *fasthttp.RequestCtx) error {
	m, err := s.current()
	if err != nil {
		return err
	}
	writeJSON(ctx, struct {
		Object string      `json:"object"`
		Data   []modelJSON `json:"data"`
	}{"list", []modelJSON{describe(m)}})
	return nil
}

func (s *Server) showModel(ctx *fasthttp.RequestCtx) error {
	m, err := s.current()
	if err != nil {
		return err
	}
	if name := strings.TrimPrefix(string(ctx.Path()), modelsPath); name != m.Name {
		return modelNotFound(name)
	}
	one := describe(m)
	one.Card = m.Card
	writeJSON(ctx, one)
	return nil
}

// model refuses a request to a model that is not m; "" is whatever there is.
func (f *fields) model(m *Model) {
	if name := f.string("model"); name != "" && name != m.Name {
		f.err = modelNotFound(name)
	}
}

func modelNotFound(name string) *apiError {
	e := invalid(fasthttp.StatusNotFound, "the model %.100q does not exist: GET /v1/models lists those that do", name)
	e.param, e.code = "model", "model_not_found"
	return e
}
