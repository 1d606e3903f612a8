package task

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every item of the real files is read, and written back it is what stands in the file, to the byte.
func TestRealFiles(t *testing.T) {
	dir := os.Getenv("LLMQAT_TESTDATA")
	if dir == "" {
		t.Skip("LLMQAT_TESTDATA is not set: no real tasks")
	}
	instructions := map[string]instruction{
		"piqa": adaptersSolution, "social_iqa": adaptersAnswer, "winogrande": adaptersOption,
		"arc_easy": adaptersAnswer, "arc_challenge": adaptersAnswer, "openbookqa": adaptersAnswer,
	}
	for _, s := range load(t, Options{Tasks: []string{"all"}, Dir: filepath.Join(dir, "eval")}) {
		if s.All != s.published {
			t.Errorf("%s: %d items, want %d", s.Name, s.All, s.published)
		}
		file, err := os.ReadFile(s.Path)
		if err != nil {
			t.Fatal(err)
		}
		switch in, ok := instructions[s.Name]; {
		case ok:
			var objects []struct{ Instruction, Answer string }
			if err := json.Unmarshal(file, &objects); err != nil {
				t.Fatal(err)
			}
			for i, o := range objects {
				if text, answer := in.text(&s.Items[i]); text != o.Instruction || answer != o.Answer {
					t.Errorf("%s %d: %q, want %q", s.Name, i, text, o.Instruction)
				}
			}
		case s.Name == "hellaswag":
			var b strings.Builder
			for _, i := range s.Items {
				fmt.Fprintf(&b, "%s\n%d\n%s\n", i.Question, i.Gold, strings.Join(i.Choices, "\n"))
			}
			if b.String() != string(file) {
				t.Errorf("%s: not what the file has", s.Name)
			}
		}
	}
}

// text is what item reads.
func (in instruction) text(i *Item) (text, answer string) {
	text = in.begin + i.Question + "\n\n"
	var names []string
	for n, c := range i.Choices {
		if n > 0 {
			text += in.apart
		}
		text += fmt.Sprintf("%s%d: %s", in.label, n+1, c)
		names = append(names, fmt.Sprintf("%s%d", strings.ToLower(in.label), n+1))
	}
	return text + in.end + "Answer format: " + strings.Join(names, "/"), names[i.Gold]
}
