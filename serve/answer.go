package serve

// api is what tells one API's answers from another's.
type api struct {
	idPrefix      string
	object, chunk string // what an answer is called, and what a part of a streamed one

	choice func(*choice, piece) any   // all of a choice
	first  func(*choice) any          // what a stream begins a choice with; nil for nothing
	parts  func(*choice, piece) []any // what a piece adds to a choice, in chunks of their own
}

// answerJSON is an answer, and each chunk of a streamed one.
type answerJSON struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Model   string `json:"model"`
	Choices []any  `json:"choices"`
	Usage   any    `json:"usage,omitempty"` // *usageJSON; a nil one is written as null
}

func (g *generation) head(object string) *answerJSON {
	return &answerJSON{ID: g.id, Object: object, Created: g.created.Unix(), Model: g.model.Name, Choices: []any{}}
}

// usageJSON counts tokens: each prompt once, BOS included, and all that were generated, also those that a stop
// string took away.
type usageJSON struct {
	PromptTokens        int               `json:"prompt_tokens"`
	CompletionTokens    int               `json:"completion_tokens"`
	TotalTokens         int               `json:"total_tokens"`
	PromptTokensDetails promptDetailsJSON `json:"prompt_tokens_details"`
}

type promptDetailsJSON struct {
	CachedTokens int `json:"cached_tokens"`
}

func (g *generation) usage() *usageJSON {
	u := &usageJSON{}
	for _, p := range g.request.prompts {
		u.PromptTokens += len(p.ids)
	}
	for i, one := range g.choices {
		u.CompletionTokens += one.generated
		if i%g.request.bestOf == 0 { // the others of its prompt find what this one computed
			u.PromptTokensDetails.CachedTokens += one.cached
		}
	}
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	return u
}

// orNull is s, or nil where there is none.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
