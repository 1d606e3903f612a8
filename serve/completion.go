package serve

import "github.com/valyala/fasthttp"

// completions answers POST /v1/completions.
func (s *Server) completions(ctx *fasthttp.RequestCtx) error { return s.generate(ctx, parseCompletion) }

var completionAPI = &api{
	idPrefix: "cmpl-", object: "text_completion", chunk: "text_completion",
	choice: completionChoice,
	parts:  func(c *choice, p piece) []any { return []any{completionChoice(c, p)} },
}

type choiceJSON struct {
	Index        int           `json:"index"`
	Text         string        `json:"text"`
	Logprobs     *logprobsJSON `json:"logprobs"`
	FinishReason *string       `json:"finish_reason"`
}

func completionChoice(c *choice, p piece) any {
	return choiceJSON{c.index, p.text, completionLogprobs(c, p.logprobs), orNull(p.finish)}
}

// logprobsJSON has one element a token in each list. The first token of a prompt has nulls. text_offset counts
// characters of the choice's text.
type logprobsJSON struct {
	Tokens        []string             `json:"tokens"`
	TokenLogprobs []*float32           `json:"token_logprobs"`
	TopLogprobs   []map[string]float32 `json:"top_logprobs"`
	TextOffset    []int                `json:"text_offset"`
}

func completionLogprobs(c *choice, tokens []tokenLogprobs) *logprobsJSON {
	if !c.wantsLogprobs() {
		return nil
	}
	l := &logprobsJSON{[]string{}, []*float32{}, []map[string]float32{}, []int{}}
	for _, t := range tokens {
		text := t.spelled(bytesPrefix)
		l.Tokens = append(l.Tokens, text)
		l.TextOffset = append(l.TextOffset, t.offset)
		if !t.known {
			l.TokenLogprobs = append(l.TokenLogprobs, nil)
			l.TopLogprobs = append(l.TopLogprobs, nil)
			continue
		}
		l.TokenLogprobs = append(l.TokenLogprobs, &t.logprob)
		l.TopLogprobs = append(l.TopLogprobs, topByText(t))
	}
	return l
}

// bytesPrefix begins tokens that are no UTF-8 by themselves.
const bytesPrefix = "bytes:"

// topByText maps the most likely tokens, and always the chosen one, to their logprobs; of tokens of one text the
// most likely counts.
func topByText(t tokenLogprobs) map[string]float32 {
	top := make(map[string]float32, len(t.top)+1)
	for _, alt := range append([]shownToken{t.shownToken}, t.top...) {
		text := alt.spelled(bytesPrefix)
		if old, twice := top[text]; !twice || alt.logprob > old {
			top[text] = alt.logprob
		}
	}
	return top
}
