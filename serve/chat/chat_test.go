package chat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/llmqat/llmqat/serve/jinja"
)

var clock = time.Date(2024, 7, 26, 0, 0, 0, 0, time.UTC)

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Every template, ours and those of models, makes of conversations what Jinja2 makes of them, and refuses the same.
func TestRendered(t *testing.T) {
	var conversations [][]Message
	readJSON(t, "conversations.json", &conversations)
	var cases []struct {
		File, BOS, EOS string
		Conversation   int
		Answer         bool
		Want           *string
	}
	readJSON(t, "rendered.json", &cases)
	for _, c := range cases {
		file := filepath.FromSlash(c.File)
		if strings.HasPrefix(c.File, "models/") {
			file = filepath.Join("testdata", file)
		}
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tmpl, err := Parse(c.File, string(src))
		if err != nil {
			t.Fatal(err)
		}
		got, err := tmpl.Render(conversations[c.Conversation], Options{BOS: c.BOS, EOS: c.EOS, Answer: c.Answer, Now: clock})
		if c.Want == nil && err == nil || c.Want != nil && (err != nil || got.S != *c.Want) {
			want := "an error"
			if c.Want != nil {
				want = *c.Want
			}
			t.Errorf("%s, conversation %d, answer %v:\n got  %q (%v)\n want %q", c.File, c.Conversation, c.Answer, got.S, err, want)
		}
	}
	if len(cases) < 100 {
		t.Errorf("only %d cases", len(cases))
	}
}

// The templates that ship write what the formats' definitions say.
func TestShipped(t *testing.T) {
	talk := []Message{{Developer, "S"}, {User, "A"}, {Assistant, "B"}, {User, "C"}}
	want := map[string]string{
		"alpaca":  "S\n\n### Instruction:\nA\n\n### Response:\nB</s>\n\n### Instruction:\nC\n\n### Response:\n",
		"chatml":  "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\nB<|im_end|>\n<|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n",
		"llama2":  "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nA [/INST] B </s><s>[INST] C [/INST]",
		"llama3":  "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nA<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nB<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nC<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
		"mistral": "<s>[INST] S\n\nA [/INST] B</s>[INST] C [/INST]",
		"vicuna":  "S USER: A ASSISTANT: B</s>USER: C ASSISTANT:",
		"zephyr":  "<|system|>\nS</s>\n<|user|>\nA</s>\n<|assistant|>\nB</s>\n<|user|>\nC</s>\n<|assistant|>\n",
	}
	for _, name := range Names() {
		c, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Render(talk, Options{BOS: "<s>", EOS: "</s>", Answer: true, Now: clock})
		if err != nil || got.S != want[name] {
			t.Errorf("%s:\n got  %q (%v)\n want %q", name, got.S, err, want[name])
		}
		if given := pick(got.S, got.From); given != "SABC" {
			t.Errorf("%s: %q is marked as given, want the messages", name, given)
		}
	}
	if len(Names()) != len(want) {
		t.Errorf("there are %q", Names())
	}
}

// pick returns the bytes of s that messages gave.
func pick(s, from string) string {
	var b strings.Builder
	for i := range len(s) {
		if from[i] == jinja.Given {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "own.jinja")
	if err := os.WriteFile(file, []byte("{{ messages[0].content }}!\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Render([]Message{{User, "hi"}}, Options{}); err != nil || got.S != "hi!" || c.Name() != file {
		t.Errorf("%q, %v, named %q", got.S, err, c.Name())
	}
	if err := os.WriteFile(file, []byte("a\n{% if x %}"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"nope": "alpaca, chatml", file: "own.jinja, line 2, column 11", filepath.Dir(file): "directory"} {
		if _, err := Load(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", name, err, want)
		}
	}
}
