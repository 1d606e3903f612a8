package serve

import (
	"encoding/json"
	"strconv"

	"github.com/valyala/fasthttp"
)

// tokenize answers {"content": text, "add_special": bool} with {"tokens": [ids]}, as llama-server does. With
// add_special the ids begin with BOS where the model wants it.
func (s *Server) tokenize(ctx *fasthttp.RequestCtx) error {
	m, f, err := s.textRequest(ctx)
	if err != nil {
		return err
	}
	if f.raw("content") == nil {
		f.fail("content", "content: required: the text to tokenize")
	}
	text, special := f.string("content"), f.bool("add_special")
	if f.err != nil {
		return f.err
	}
	ids := []int32{}
	if special && m.Tokenizer.AddBOS() {
		ids = append(ids, m.Tokenizer.BOS())
	}
	writeJSON(ctx, map[string][]int32{"tokens": append(ids, m.Tokenizer.Encode(text)...)})
	return nil
}

// detokenize answers {"tokens": [ids]} with {"content": text}.
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
	writeJSON(ctx, map[string]string{"content": m.Tokenizer.Decode(ids)})
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
	return m, &fields{members: members}, nil
}
