package serve

import (
	"encoding/json"
	"slices"
	"strconv"
)

// parseCompletion reads and checks a request to m.
func parseCompletion(body []byte, m *Model) (*request, *apiError) {
	r, f, err := parseRequest(completionAPI, body, m)
	if err != nil {
		return nil, err
	}
	r.echo = f.bool("echo")
	r.maxTokens = int(f.int("max_tokens", 16, 0, 1<<31-1))
	r.logprobs = int(f.int("logprobs", -1, 0, maxLogprobs))
	r.bestOf = f.bestOf(r)
	if v := f.raw("suffix"); v != nil && string(v) != `""` {
		f.fail("suffix", "suffix: insertion before a suffix is not supported: LLaMA models only continue a text")
	}
	if r.maxTokens == 0 && !r.echo {
		f.fail("max_tokens", "max_tokens: 0 gives an answer only with echo: ask for at least 1, or set echo")
	}
	r.prompts = f.prompts(m, r.bestOf)
	for _, p := range r.prompts {
		if len(p.ids)+r.maxTokens > m.MaxContext {
			f.tooLong(m, "prompt", len(p.ids), "max_tokens", r.maxTokens)
		}
	}
	return r, f.err
}

// bestOf reads "best_of".
func (f *fields) bestOf(r *request) int {
	n := int(f.int("best_of", int64(r.n), 1, maxN))
	switch {
	case n < r.n:
		f.fail("best_of", "best_of: want n = %d or more, got %d", r.n, n)
	case n > r.n && r.stream:
		f.fail("best_of", "best_of: which of %d choices are the best is known when all have ended: ask without stream, or for best_of = n", n)
	}
	return n
}

// prompts reads "prompt": a string, an array of strings, an array of token ids or an array of such arrays.
// Each prompt has n choices.
func (f *fields) prompts(m *Model, n int) []prompt {
	if f.err != nil {
		return nil // encoding costs time: not for a request that fails anyway
	}
	v := f.raw("prompt")
	if v == nil {
		f.fail("prompt", "prompt: required: a string, an array of strings, an array of token ids or an array of such arrays")
		return nil
	}
	if s, ok := asString(v); ok {
		return []prompt{f.text(m, s)}
	}
	var list []prompt
	var first json.RawMessage
	isArray := eachItem(v, func(item json.RawMessage) bool {
		if first == nil {
			first = item
		}
		if isNumber(first) {
			return false // one array of ids: read below
		}
		if len(list)*n >= maxChoices {
			f.fail("prompt", "prompt: more than %d choices: prompts times n or best_of", maxChoices)
			return false
		}
		if s, ok := asString(item); ok && first[0] == '"' {
			list = append(list, f.text(m, s))
		} else if item[0] == '[' && first[0] == '[' {
			list = append(list, f.ids(m, item))
		} else {
			f.fail("prompt", "prompt: want an array of strings, of token ids or of arrays of ids: item %d is %s", len(list), kindOf(item))
		}
		return f.err == nil
	})
	switch {
	case !isArray:
		f.fail("prompt", "prompt: want a string or an array, got %s", kindOf(v))
	case first == nil:
		f.fail("prompt", "prompt: the array is empty")
	case isNumber(first):
		list = []prompt{f.ids(m, v)}
	}
	return list
}

// text encodes s, with BOS before it where the tokenizer asks for it.
func (f *fields) text(m *Model, s string) prompt {
	if most := m.MaxContext * m.pieceBytes; len(s) > most {
		f.failLong("prompt", "prompt: %d bytes of text are more than the model's context of %d tokens can hold", len(s), m.MaxContext)
		return prompt{}
	}
	p := prompt{text: s}
	if bos := m.Tokenizer.BOS(); bos >= 0 && (m.Tokenizer.AddBOS() || s == "") {
		p.ids, p.shown = []int32{bos}, 1
	}
	p.ids = append(p.ids, m.Tokenizer.Encode(s)...)
	if len(p.ids) == 0 {
		f.fail("prompt", "prompt: empty, and this model has no token that begins a text")
	}
	return p
}

// ids reads an array of token ids, which is taken as it is.
func (f *fields) ids(m *Model, v json.RawMessage) prompt {
	var p prompt
	vocab := int64(m.Tokenizer.VocabSize())
	eachItem(v, func(item json.RawMessage) bool {
		id, err := strconv.ParseInt(string(item), 10, 64)
		switch {
		case err != nil || id < 0 || id >= vocab:
			f.fail("prompt", "prompt: want token ids in 0..%d, got %.30s", vocab-1, item)
		case len(p.ids) == m.MaxContext:
			f.tooLong(m, "prompt", len(p.ids)+1, "max_tokens", 0)
		default:
			p.ids = append(p.ids, int32(id))
			return true
		}
		return false
	})
	if len(p.ids) == 0 {
		f.fail("prompt", "prompt: an array of token ids is empty")
	}
	p.ids = slices.Clip(p.ids)
	p.text = m.Tokenizer.Decode(p.ids)
	return p
}
