package serve

import (
	_ "embed"

	"github.com/valyala/fasthttp"
)

// openAPIDocument describes every endpoint and field; its tests hold the answers to it, and it to the parsers.
//
//go:embed openapi.yaml
var openAPIDocument []byte

func (s *Server) openAPI(ctx *fasthttp.RequestCtx) error {
	ctx.SetContentType("application/yaml")
	ctx.SetBody(openAPIDocument)
	return nil
}
