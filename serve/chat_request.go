package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llmqat/llmqat/serve/chat"
	"github.com/llmqat/llmqat/serve/jinja"
)

const (
	maxMessages = 4096
	maxKwargs   = 64
)

// parseChat reads and checks a conversation to be answered by m.
func parseChat(body []byte, m *Model) (*request, *apiError) {
	r, f, err := parseRequest(chatAPI, body, m)
	if err != nil {
		return nil, err
	}
	maxName := "max_tokens"
	r.maxTokens = int(f.int(maxName, 0, 1, 1<<31-1))
	if f.has("max_completion_tokens") {
		maxName = "max_completion_tokens"
		r.maxTokens = int(f.int(maxName, 0, 1, 1<<31-1))
	}
	r.logprobs = -1
	top := int(f.int("top_logprobs", 0, 0, maxLogprobs))
	if f.bool("logprobs") {
		r.logprobs = top
	} else if f.has("top_logprobs") {
		f.fail("logprobs", "logprobs: must be true for top_logprobs")
	}
	r.ends = m.turnEnds
	r.prompts = []prompt{f.conversation(m)}
	if f.err != nil {
		return nil, f.err
	}
	p := len(r.prompts[0].ids)
	if r.maxTokens == 0 && p < m.MaxContext {
		r.maxTokens = m.MaxContext - p
	}
	if r.maxTokens == 0 || p+r.maxTokens > m.MaxContext {
		f.tooLong(m, "messages", p, maxName, max(r.maxTokens, 1))
	}
	return r, f.err
}

func chatOptions(m *Model) chat.Options {
	return chat.Options{BOS: m.Tokenizer.Token(m.Tokenizer.BOS()), EOS: m.Tokenizer.Token(m.Tokenizer.EOS()), Now: time.Now()}
}

// conversation reads the messages and writes them by m's template.
func (f *fields) conversation(m *Model) (p prompt) {
	if m.Chat == nil {
		f.fail("messages", "%s has no chat template: start the server with --chat-template and a Jinja file or one of %s, "+
			"or use /v1/completions", m.Name, strings.Join(chat.Names(), ", "))
	}
	messages := f.messages()
	o := chatOptions(m)
	o.Extra = f.kwargs()
	o.Continue = f.bool("continue_final_message")
	o.Answer = f.bool("add_generation_prompt")
	if !f.has("add_generation_prompt") {
		o.Answer = !o.Continue
	}
	if f.err != nil {
		return p
	}
	if o.Continue && (o.Answer || messages[len(messages)-1].Role != chat.Assistant) {
		f.fail("continue_final_message", "continue_final_message: wants an assistant's message at the end, and no add_generation_prompt")
		return p
	}
	if o.Continue && strings.TrimSpace(messages[len(messages)-1].Content) == "" {
		f.fail("continue_final_message", "continue_final_message: the last message has no text to go on from: leave both out to begin an answer")
		return p
	}
	text, err := m.Chat.Render(messages, o)
	if err != nil {
		f.fail("messages", "messages: %s", why(err))
		return p
	}
	if most := m.MaxContext * m.pieceBytes; len(text.S) > most {
		f.failLong("messages", "messages: %d bytes of text are more than the model's context of %d tokens can hold", len(text.S), m.MaxContext)
		return p
	}
	if p.ids = chatIDs(m, text); len(p.ids) == 0 {
		f.fail("messages", "messages: the chat template %s makes no text of them", m.Chat.Name())
	}
	if o.Continue {
		p.text = text.S // what follows it is no beginning
	}
	return p
}

// why tells a caller what a template has against messages.
func why(err error) string {
	var e *jinja.Error
	if errors.As(err, &e) && e.Raised {
		return fmt.Sprintf("the chat template %s refuses them: %.500s", e.Name, e.Message)
	}
	return fmt.Sprintf("they cannot be written: %.500s", err)
}

// chatIDs encodes a rendered conversation. Control tokens are those that the template wrote: what messages spell
// is text. BOS stands before it where the model wants it and the template did not write it.
func chatIDs(m *Model, text jinja.Text) []int32 {
	ids := m.Tokenizer.EncodeTrusted(text.S, func(i, j int) bool {
		return strings.IndexByte(text.From[i:j], jinja.Given) < 0
	})
	if bos := m.Tokenizer.BOS(); m.Tokenizer.AddBOS() && (len(ids) == 0 || ids[0] != bos) {
		ids = slices.Insert(ids, 0, bos)
	}
	return ids
}

// messages reads "messages".
func (f *fields) messages() (list []chat.Message) {
	v := f.raw("messages")
	if v == nil {
		f.fail("messages", "messages: required: an array of objects with role and content")
		return nil
	}
	isArray := eachItem(v, func(item json.RawMessage) bool {
		at := "messages[" + strconv.Itoa(len(list)) + "]"
		switch {
		case len(list) == maxMessages:
			f.fail("messages", "messages: at most %d", maxMessages)
		case item[0] != '{':
			f.fail(at, "%s: want an object with role and content, got %s", at, kindOf(item))
		default:
			list = append(list, f.message(at, item))
		}
		return f.err == nil
	})
	switch {
	case !isArray:
		f.fail("messages", "messages: want an array, got %s", kindOf(v))
	case len(list) == 0:
		f.fail("messages", "messages: the array is empty")
	}
	return list
}

// message reads one of them; at is its name in errors.
func (f *fields) message(at string, v json.RawMessage) (m chat.Message) {
	inner := &fields{members: membersOf(v)}
	m.Role = inner.string("role")
	switch m.Role {
	case chat.System, chat.Developer, chat.User, chat.Assistant:
	case "tool", "function":
		inner.fail("role", "role: %s messages are not supported: tell what a tool answered in a user's message", m.Role)
	default:
		inner.fail("role", "role: want system, developer, user or assistant, got %.30q", m.Role)
	}
	for _, name := range []string{"tool_calls", "function_call", "audio"} {
		if v := inner.raw(name); v != nil && !(refusal{}).isOff(v) {
			inner.fail(name, "%s: not supported: messages are text", name)
		}
	}
	m.Content = inner.content()
	if e := inner.err; e != nil {
		f.fail(at+"."+e.param, "%s.%s", at, e.message)
	}
	return m
}

// content reads a message's text: a string, or an array of parts, which become lines.
func (f *fields) content() string {
	v := f.raw("content")
	if v == nil {
		f.fail("content", "content: required: a string or an array of text parts")
		return ""
	}
	if s, ok := asString(v); ok {
		return s
	}
	var parts []string
	isArray := eachItem(v, func(item json.RawMessage) bool {
		if item[0] != '{' {
			f.fail("content", "content: want parts as {\"type\":\"text\",\"text\":\"...\"}, got %s", kindOf(item))
			return false
		}
		part := &fields{members: membersOf(item)}
		switch kind := part.string("type"); kind {
		case "text":
			if part.raw("text") == nil {
				part.fail("text", "text: required")
			}
			parts = append(parts, part.string("text"))
		case "image_url", "input_audio", "file", "video_url", "image", "refusal":
			part.fail(kind, "%s: not supported: this model reads text only", kind)
		default:
			part.fail("type", "type: want text, got %.30q", kind)
		}
		if part.err != nil {
			f.fail("content", "content[%d]: %s", len(parts), part.err.message)
		}
		return f.err == nil
	})
	switch {
	case !isArray:
		f.fail("content", "content: want a string or an array of text parts, got %s", kindOf(v))
	case len(parts) == 0:
		f.fail("content", "content: the array is empty")
	}
	return strings.Join(parts, "\n")
}

// kwargs reads "chat_template_kwargs", as vLLM has it: more variables for the template.
func (f *fields) kwargs() map[string]any {
	members := f.object("chat_template_kwargs", maxKwargs)
	vars := make(map[string]any, len(members))
	for key, value := range members {
		var x any
		_ = json.Unmarshal(value, &x) // it is JSON
		switch x := x.(type) {
		case nil, bool:
			vars[key] = x
		case float64:
			if vars[key] = x; math.Abs(x) < 1<<53 && x == math.Trunc(x) {
				vars[key] = int(x)
			}
		case string:
			vars[key] = jinja.Message(x)
		default:
			f.fail("chat_template_kwargs", "chat_template_kwargs: %.30q: want a string, a number, a boolean or null, got %s", key, kindOf(value))
			return nil
		}
	}
	return vars
}
