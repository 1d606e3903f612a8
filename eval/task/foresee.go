package task

import "github.com/llmqat/llmqat/format/tokenizer"

// Takes is what asking some items takes of a model.
type Takes struct {
	Items    int
	Requests int     // equal ones once
	Tokens   int64   // that are computed: a context that the choices of an item share, once
	Scored   int64   // of these, the ones whose logits are wanted
	Longest  int     // tokens of the longest request
	Context  float64 // tokens before a computed one, in the mean
}

// Foresee says what Run takes, without a model.
func Foresee(sets []*Set, protocols []Protocol, tok *tokenizer.Tokenizer, maxTokens int) (t Takes, err error) {
	p, err := newPlan(sets, protocols, tok, maxTokens)
	if err != nil {
		return t, err
	}
	t.Items, t.Requests = len(p.questions), len(p.requests)
	each, total := costs(p.requests)
	t.Tokens = total
	before := 0.0
	for i, r := range p.requests {
		t.Scored += int64(len(r.Continuation))
		t.Longest = max(t.Longest, len(r.Context)+len(r.Continuation))
		end := float64(len(r.Context) + len(r.Continuation))
		begin := end - float64(each[i])
		before += (end*(end-1) - begin*(begin-1)) / 2 // tokens begin to end-1 have as many before them
	}
	if total > 0 {
		t.Context = before / float64(total)
	}
	return t, nil
}
