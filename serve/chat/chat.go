// Package chat turns messages into the text that a model was trained to answer: each family has a template for it,
// which comes with the model or is one of those that ship here.
package chat

import (
	"embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/llmqat/llmqat/serve/jinja"
)

//go:embed templates/*.jinja
var shipped embed.FS

const suffix = ".jinja"

// Names lists the templates that ship with llmqat.
func Names() []string {
	files, err := fs.Glob(shipped, "templates/*"+suffix)
	if err != nil {
		panic(err) // the pattern is ours
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(strings.TrimPrefix(f, "templates/"), suffix)
	}
	return files
}

// Load returns the template that is called name, or else the one in the file of that name.
func Load(name string) (*Template, error) {
	if slices.Contains(Names(), name) {
		src, err := shipped.ReadFile("templates/" + name + suffix)
		if err != nil {
			return nil, err
		}
		return Parse(name, string(src))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("chat template %q is no file (%w) and none of those that llmqat has: %s", name, err, strings.Join(Names(), ", "))
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, jinja.MaxSource+1))
	if err != nil {
		return nil, fmt.Errorf("chat template: %w", err)
	}
	return Parse(name, string(src))
}

// Template is the way to write a conversation down.
type Template struct {
	jinja     *jinja.Template
	developer bool // it knows that role
}

// Parse reads a Jinja template; name is for errors.
func Parse(name, src string) (*Template, error) {
	t, err := jinja.Parse(name, src)
	if err != nil {
		return nil, err
	}
	return &Template{t, strings.Contains(src, "developer")}, nil
}

// Name returns what the template is called.
func (t *Template) Name() string { return t.jinja.Name() }

// Roles of messages, as OpenAI has them.
const (
	System    = "system"
	Developer = "developer" // a system that a newer client calls so
	User      = "user"
	Assistant = "assistant"
)

// Message is one turn of a conversation.
type Message struct{ Role, Content string }

// Options of one rendering.
type Options struct {
	BOS, EOS string // how the model's vocabulary spells them, "" for none

	// Answer ends the text with what begins an answer; Continue leaves out what ends the last message, an
	// assistant's, so that the model goes on with it.
	Answer, Continue bool

	Extra map[string]any // more of the template's variables: what jinja.Render takes
	Now   time.Time
}

// Render writes a conversation down. What the messages hold is marked as jinja.Given. An error is a *jinja.Error.
func (t *Template) Render(messages []Message, o Options) (jinja.Text, error) {
	list := make([]any, len(messages))
	for i, m := range messages {
		role := m.Role
		if role == Developer && !t.developer {
			role = System
		}
		list[i] = jinja.Map{{Key: "role", Value: role}, {Key: "content", Value: jinja.Message(m.Content)}}
	}
	vars := map[string]any{}
	for name, v := range o.Extra {
		vars[name] = v
	}
	vars["messages"], vars["add_generation_prompt"] = list, o.Answer
	vars["bos_token"], vars["eos_token"] = o.BOS, o.EOS
	text, err := t.jinja.Render(vars, o.Now)
	if err == nil && o.Continue {
		text, _ = Cut(text)
	}
	return text, err
}

// Cut cuts text behind the last byte that a message gave.
func Cut(text jinja.Text) (before, after jinja.Text) {
	i := strings.LastIndexByte(text.From, jinja.Given) + 1
	return jinja.Text{S: text.S[:i], From: text.From[:i]}, jinja.Text{S: text.S[i:], From: text.From[i:]}
}
