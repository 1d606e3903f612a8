package chat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
