package serve

import "github.com/valyala/fasthttp"

// client says who asks, for the engine's fairness: the address that the request came from.
func (s *Server) client(ctx *fasthttp.RequestCtx) string { return ctx.RemoteIP().String() }
