package serve

import (
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/llmqat/llmqat/serve/chat"
)

// chatCompletions answers POST /v1/chat/completions.
func (s *Server) chatCompletions(ctx *fasthttp.RequestCtx) error { return s.generate(ctx, parseChat) }

var chatAPI = &api{
	idPrefix: "chatcmpl-", object: "chat.completion", chunk: "chat.completion.chunk",
	choice: func(c *choice, p piece) any {
		return chatChoiceJSON{c.index, messageJSON{chat.Assistant, p.text, nil}, chatLogprobs(c, p.logprobs), orNull(p.finish)}
	},
	first: func(c *choice) any {
		empty := ""
		return chatPartJSON{c.index, deltaJSON{chat.Assistant, &empty}, nil, nil}
	},
	parts: chatParts,
}

type chatChoiceJSON struct {
	Index        int               `json:"index"`
	Message      messageJSON       `json:"message"`
	Logprobs     *chatLogprobsJSON `json:"logprobs"`
	FinishReason *string           `json:"finish_reason"`
}

type messageJSON struct {
	Role    string  `json:"role"`
	Content string  `json:"content"`
	Refusal *string `json:"refusal"`
}

type chatPartJSON struct {
	Index        int               `json:"index"`
	Delta        deltaJSON         `json:"delta"`
	Logprobs     *chatLogprobsJSON `json:"logprobs"`
	FinishReason *string           `json:"finish_reason"`
}

type deltaJSON struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

// chatParts sends the reason why an answer ends in a chunk of its own, as OpenAI does.
func chatParts(c *choice, p piece) (parts []any) {
	if p.text != "" || len(p.logprobs) > 0 {
		parts = append(parts, chatPartJSON{c.index, deltaJSON{Content: &p.text}, chatLogprobs(c, p.logprobs), nil})
	}
	if p.finish != "" {
		parts = append(parts, chatPartJSON{c.index, deltaJSON{}, nil, &p.finish})
	}
	return parts
}

type chatLogprobsJSON struct {
	Content []chatTokenJSON `json:"content"`
	Refusal *string         `json:"refusal"`
}

type chatTokenJSON struct {
	topTokenJSON
	TopLogprobs []topTokenJSON `json:"top_logprobs"`
}

type topTokenJSON struct {
	Token   string  `json:"token"`
	Logprob float32 `json:"logprob"`
	Bytes   []int   `json:"bytes"` // null of a token without text; []byte would be base64
}

func chatLogprobs(c *choice, tokens []tokenLogprobs) *chatLogprobsJSON {
	if !c.wantsLogprobs() {
		return nil
	}
	l := &chatLogprobsJSON{Content: []chatTokenJSON{}}
	for _, t := range tokens {
		j := chatTokenJSON{newTopToken(t.shownToken), []topTokenJSON{}}
		for _, alt := range t.top {
			j.TopLogprobs = append(j.TopLogprobs, newTopToken(alt))
		}
		l.Content = append(l.Content, j)
	}
	return l
}

func newTopToken(t shownToken) topTokenJSON {
	j := topTokenJSON{Token: t.spelled(""), Logprob: t.logprob}
	for _, b := range t.bytes {
		j.Bytes = append(j.Bytes, int(b))
	}
	return j
}

// turnEnds returns the control token by which m's template ends an assistant's message: it ends an answer, whether
// or not the model's configuration says so.
func turnEnds(m *Model) []int32 {
	if m.Chat == nil {
		return nil
	}
	// A template that refuses such a conversation only leaves the model's own tokens to end its answers.
	text, err := m.Chat.Render([]chat.Message{{Role: chat.User, Content: "a"}, {Role: chat.Assistant, Content: "b"}}, chatOptions(m))
	if err != nil {
		return nil
	}
	_, after := chat.Cut(text)
	for _, id := range m.Tokenizer.EncodeSpecial(strings.TrimSpace(after.S)) {
		if m.Tokenizer.IsSpecial(id) && id != m.Tokenizer.UNK() {
			return []int32{id}
		}
	}
	return nil
}
