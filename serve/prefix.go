package serve

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"

	"github.com/valyala/fasthttp"

	"github.com/llmqat/llmqat/runtime/engine"
)

// prefixHeader names what a request's prompt begins with, so that a gateway can send requests that begin alike to the
// one replica that has their K and V. A gateway sees no tokens: the client sends the header, of its own making (the id
// of a conversation, of a system prompt) or as the answer to an earlier request of the conversation had it.
const prefixHeader = "X-Llmqat-Prefix"

// showPrefix answers with the request's own header, or with one made of its first page of tokens.
func showPrefix(ctx *fasthttp.RequestCtx, m *Model, r *request) {
	name := string(ctx.Request.Header.Peek(prefixHeader))
	if !validID(name) {
		name = prefixOf(m, r)
	}
	ctx.Response.Header.Set(prefixHeader, name)
}

// prefixOf hashes all that must be equal for prompts to share their first page, or as much of it as they have.
func prefixOf(m *Model, r *request) string {
	h := sha256.New()
	writeText(h, m.Name)
	writeText(h, r.cacheSalt)
	ids := r.prompts[0].ids
	_ = binary.Write(h, binary.LittleEndian, ids[:min(len(ids), engine.PageTokens)]) // a hash takes all
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func writeText(h hash.Hash, s string) {
	h.Write(binary.AppendUvarint(nil, uint64(len(s))))
	h.Write([]byte(s))
}
