package serve

import (
	"encoding/json"
	"strconv"

	"github.com/valyala/fasthttp"
)

// tokensJSON is the answer of llama-server, tokens, and that of vLLM.
type tokensJSON struct {
	Tokens      []int32 `json:"tokens"`
	Count       int     `json:"count"`
	MaxModelLen int     `json:"max_model_len"`
}

// tokenize takes the text as llama-server does, {"content": text, "add_special": false}, or as vLLM does,
// {"prompt": text, "add_special_tokens": true}. What is special is BOS, where the model wants it.
func (s *Server) tokenize(ctx *fasthttp.RequestCtx) error {
	m, f, err := s.textRequest(ctx)
	if err != nil {
		return err
	}
	text, special := f.string("content"), f.bool("add_special")
	prompt, promptSpecial := f.string("prompt"), f.bool("add_special_tokens") || !f.has("add_special_tokens")
	switch {
	case f.has("prompt") && f.has("content"):
		f.fail("prompt", "prompt: want one text to tokenize, got content, too")
	case f.has("prompt"):
		text, special = prompt, promptSpecial
	case !f.has("content"):
		f.fail("content", "content: required: the text to tokenize; vLLM's prompt in its place will do")
	}
	if f.err != nil {
		return f.err
	}
	ids := []int32{}
	if special && m.Tokenizer.AddBOS() {
		ids = append(ids, m.Tokenizer.BOS())
	}
	ids = append(ids, m.Tokenizer.Encode(text)...)
	writeJSON(ctx, tokensJSON{ids, len(ids), m.MaxContext})
	return nil
}

// detokenize answers {"tokens": [ids]} with the text, as llama-server and vLLM call it.
func (s *Server) detokenize(ctx *fasthttp.RequestCtx) error {
	m, f, err := s.textRequest(ctx)
	if err != nil {
		return err
	}
	v := f.raw("tokens")
	if v == nil {
		f.fail("tokens", "tokens: required: an array of token ids")
		return f.err
	}
	var ids []int32
	isArray := eachItem(v, func(item json.RawMessage) bool {
		id, err := strconv.ParseInt(string(item), 10, 32)
		if err != nil || id < 0 || id >= int64(m.Tokenizer.VocabSize()) {
			f.fail("tokens", "tokens: want ids in 0..%d, got %.30s", m.Tokenizer.VocabSize()-1, item)
			return false
		}
		ids = append(ids, int32(id))
		return true
	})
	if !isArray {
		f.fail("tokens", "tokens: want an array, got %s", kindOf(v))
	}
	if f.err != nil {
		return f.err
	}
	text := m.Tokenizer.Decode(ids)
	writeJSON(ctx, struct {
		Content string `json:"content"`
		Prompt  string `json:"prompt"`
	}{text, text})
	return nil
}

func (s *Server) textRequest(ctx *fasthttp.RequestCtx) (*Model, *fields, error) {
	m, err := s.current()
	if err != nil {
		return nil, nil, err
	}
	members, err := parseObject(ctx.PostBody())
	if err != nil {
		return nil, nil, invalid(fasthttp.StatusBadRequest, "request body: %v", err)
	}
	f := &fields{members: members}
	f.model(m)
	return m, f, nil
}
