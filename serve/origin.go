package serve

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// A page in somebody's browser can send requests to any address that the browser reaches, and no key protects a
// server on 127.0.0.1. Two rules keep strange pages out, and let all that is no browser through:
//
//   - A request with an Origin, which browsers put on all that a script posts, must come from this server's own
//     page, the Host being the same, or from an origin that is allowed.
//   - On a loopback address without keys the Host must be an IP address, a name without dots, or that of an allowed
//     origin: a page whose own name was made to resolve to 127.0.0.1 (DNS rebinding) has the same Origin as Host.

// CheckOrigin says what is wrong with o as an element of Options.CORSOrigins.
func CheckOrigin(o string) error {
	if o == "*" || o == "null" {
		return nil
	}
	u, err := url.Parse(o)
	if err != nil || u.Scheme == "" || u.Host == "" || o != u.Scheme+"://"+u.Host {
		return fmt.Errorf("%q is no origin: want one as https://app.example.org or http://localhost:3000, or * for all", o)
	}
	return nil
}

// checkOrigin refuses what comes from a strange page, and tells browsers of those that are allowed.
func (s *Server) checkOrigin(ctx *fasthttp.RequestCtx) error {
	host, origin := string(ctx.Host()), string(ctx.Request.Header.Peek("Origin"))
	if s.keys.Load() == nil && ctx.LocalIP().IsLoopback() && !s.knownHost(host) {
		e := invalid(fasthttp.StatusForbidden, "the host %.100q is not this server's: on a loopback address without API keys it takes "+
			"IP addresses and names without dots, or start it with --cors-origin http://%.100s", host, host)
		e.code = "host_not_allowed"
		return e
	}
	all := slices.Contains(s.options.CORSOrigins, "*")
	h := &ctx.Response.Header
	switch {
	case origin == "":
		return nil
	case all:
		h.Set("Access-Control-Allow-Origin", "*")
	case slices.Contains(s.options.CORSOrigins, origin):
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Vary", "Origin")
	case sameOrigin(origin, host):
		return nil
	default:
		e := invalid(fasthttp.StatusForbidden, "pages of %.100q may not use this server: start it with --cors-origin %.100s to let them", origin, origin)
		e.code = "origin_not_allowed"
		return e
	}
	h.Set("Access-Control-Expose-Headers", requestID+", "+prefixHeader+", Retry-After")
	return nil
}

// preflight answers the question of a browser whether a request would be allowed, and says whether it was one.
func preflight(ctx *fasthttp.RequestCtx) bool {
	asked := &ctx.Request.Header
	h := &ctx.Response.Header
	if !ctx.IsOptions() || len(asked.Peek("Access-Control-Request-Method")) == 0 || len(h.Peek("Access-Control-Allow-Origin")) == 0 {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	if names := asked.Peek("Access-Control-Request-Headers"); len(names) > 0 {
		h.SetBytesV("Access-Control-Allow-Headers", names) // OpenAI's client sends many of its own
	}
	h.Set("Access-Control-Max-Age", "3600")
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return true
}

func sameOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && host != "" && strings.EqualFold(u.Host, host)
}

// knownHost says whether nobody but the owner of this machine or of an allowed origin can have given it the name.
func (s *Server) knownHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	if _, err := netip.ParseAddr(name); err == nil || !strings.Contains(name, ".") || strings.HasSuffix(name, ".localhost") {
		return true
	}
	return slices.ContainsFunc(s.options.CORSOrigins, func(o string) bool { return o == "*" || sameOrigin(o, host) })
}
