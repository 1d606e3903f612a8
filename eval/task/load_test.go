package task

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "record prompts anew")

// prompts prints all items of a folder as they are asked.
func prompts(t *testing.T, o Options) string {
	t.Helper()
	sets, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range sets {
		for i := range s.Items {
			p, err := s.prompt(i)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s %d: %d is right\n", s.Name, i, s.Items[i].Gold)
			for c := range p.contexts {
				if c == 0 || p.contexts[c] != p.contexts[c-1] {
					fmt.Fprintf(&b, "  %q\n", p.contexts[c])
				}
				fmt.Fprintf(&b, "    %q %d\n", p.continuations[c], p.lengths[c])
			}
		}
	}
	return b.String()
}

// Every layout of the same items gives the same prompts, which are lm-evaluation-harness'.
func TestPrompts(t *testing.T) {
	const math = "mmlu_elementary_mathematics"
	for _, c := range []struct {
		golden  string
		o       Options
		layouts []string
	}{
		{"zero-shot", Options{Tasks: []string{"all"}}, []string{"adapters", "original", "huggingface"}},
		{"mmlu", Options{Tasks: []string{math}, Shots: 2}, []string{"original", "huggingface"}},
		{"one-shot", Options{Tasks: []string{"all", math}, Shots: 1, ShotsDir: "testdata/original", Limit: 1}, []string{"original"}},
	} {
		golden := filepath.Join("testdata", c.golden+".golden")
		if *rewrite {
			c.o.Dir = filepath.Join("testdata", c.layouts[len(c.layouts)-1])
			if err := os.WriteFile(golden, []byte(prompts(t, c.o)), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		for _, layout := range c.layouts {
			c.o.Dir = filepath.Join("testdata", layout)
			if diff := cmp.Diff(string(want), prompts(t, c.o)); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", c.golden, layout, diff)
			}
		}
	}
}

// Items are the same however a file frames them, whatever they begin with, and whatever lies beside it.
func TestFrames(t *testing.T) {
	for _, c := range []struct {
		task, name, content, question string
	}{
		{"mmlu_anatomy", "mmlu/anatomy/test.jsonl", `[{"question":"q","choices":["a","b","c","d"],"answer":1}]`, "q"},
		{"mmlu_anatomy", "test/anatomy_test.csv", "{1} is,a,b,c,d,B\r\n", "{1} is"},
		{"mmlu_anatomy", "test/anatomy_test.csv", "[1] is,a,b,c,d,B\n", "[1] is"},
		{"piqa", "piqa.jsonl", "\ufeff" + `{"goal":"q","sol1":"a","sol2":"b","label":1}` + "\r\n", "q"},
		{"hellaswag", "hellaswag_val_full.txt", "q\r\n1\r\na\r\nb\r\nc\r\nd\r\n", "q"},
	} {
		dir := write(t, c.name, c.content)
		s := load(t, Options{Tasks: []string{c.task}, Dir: dir})[0]
		if len(s.Items) != 1 || s.Items[0].Question != c.question || s.Items[0].Choices[1] != "b" || s.Items[0].Gold != 1 {
			t.Errorf("%s: %q: %+v", c.name, c.content, s.Items)
		}
	}
	dir := write(t, "BoolQ/val.jsonl", `{"question":"q","passage":"p","label":1}`) // looked for after boolq/dev.jsonl
	if err := os.WriteFile(filepath.Join(dir, "boolq"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	load(t, Options{Tasks: []string{"boolq"}, Dir: dir})
}
