package task

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file that is no task's names itself, the line, what was expected and what was found.
func TestMalformed(t *testing.T) {
	adapters := func(instruction, answer string) string {
		return `[{"instruction": "` + instruction + `", "answer": "` + answer + `"}]`
	}
	const question = "Please choose the correct answer to the question: "
	for _, c := range []struct {
		task, name, content string
		says                []string
	}{
		{"piqa", "piqa.jsonl", "", []string{"piqa.jsonl: empty"}},
		{"piqa", "piqa.jsonl", " \n\n", []string{"piqa.jsonl: empty"}},
		{"piqa", "piqa.test.json", "[]", []string{"piqa.test.json: no items"}},
		{"piqa", "piqa.jsonl", "goal,sol1,sol2\n", []string{"piqa.jsonl:1: begins with \"goal,sol1,sol2\"", "LLM-Adapters' (instruction, answer)", "goal, sol1, sol2"}},
		{"piqa", "piqa.jsonl", `{"goal":"a","sol1":"b","sol2":"c","label":0}` + "\n" + `{"question":"a"}`, []string{"piqa.jsonl:2: no \"goal\"", "goal, sol1, sol2"}},
		{"piqa", "piqa.jsonl", "\n\n" + `{"question":"a","answer":true}`, []string{"piqa.jsonl:3: an object with answer, question: want piqa, one of"}},
		{"piqa", "piqa.jsonl", `{"goal":"a","sol1":"b","sol2":"c","label":0}` + "\n" + `{"goal":"a","sol1":`, []string{"piqa.jsonl:2: the JSON value that begins here has no end: is the file truncated?"}},
		{"piqa", "piqa.jsonl", `{"goal":"a","sol1":"b","sol2":"c","label":0}` + "\n" + `{"goal" "a"}`, []string{"piqa.jsonl:2: not JSON"}},
		{"piqa", "piqa.test.json", `[{"goal":"a","sol1":"b","sol2":"c","label":0},`, []string{"piqa.test.json:1: ", "truncated?"}},
		{"piqa", "piqa.test.json", `[{"goal":"a","sol1":"b","sol2":"c","label":0}`, []string{"piqa.test.json:1: ", "truncated?"}},
		{"piqa", "piqa.test.json", `[{"goal":"a","sol1":"b","sol2":"c","label":0}] more`, []string{"piqa.test.json:1: \"more\" behind the array's end"}},
		{"piqa", "piqa.test.json", `[1]`, []string{"piqa.test.json:1: ", "want an object"}},
		{"piqa", "piqa.jsonl", `{"goal":7,"sol1":"b","sol2":"c","label":0}`, []string{"piqa.jsonl:1: goal: is a number, want a string"}},
		{"piqa", "piqa.jsonl", `{"goal":"a","sol1":"b","sol2":"c","label":2}`, []string{"piqa.jsonl:1: label 2: want 0 to 1"}},
		{"piqa", "piqa.jsonl", `{"goal":"a","sol1":"b","sol2":"c","label":"x"}`, []string{"piqa.jsonl:1: ", "want a number"}},
		{"piqa", "piqa.jsonl", `{"goal":"a","sol1":"","sol2":"c","label":0}`, []string{"piqa.jsonl:1: choice 1 is empty"}},
		{"piqa", "piqa.jsonl", `{"goal":"a","sol1":"b","sol2":"c","label":-1}`, []string{"piqa.jsonl has no labels", "piqa-labels.lst", "no such file"}},
		{"piqa", "piqa.jsonl", `{"goal":"a","sol1":"b","sol2":"c"}` + "\n" + `{"goal":"a","sol1":"b","sol2":"c","label":1}`, []string{"piqa.jsonl:2: some items have a label"}},
		{"piqa", "piqa.test.json", adapters(question+`a\n\nAnswer1: b Answer2: c\n\nAnswer format: answer1/answer2`, "answer1"), []string{"piqa.test.json:1: the instruction is", "want one that begins with \"Please choose the correct solution"}},
		{"arc_easy", "arc_easy.jsonl", `{"question":{"stem":"a","choices":[{"text":"b","label":"A"},{"text":"c","label":"B"}]},"answerKey":"C"}`, []string{`arc_easy.jsonl:1: answerKey "C": want one of the labels A, B`}},
		{"arc_easy", "arc_easy.jsonl", `{"question":{"stem":"a","choices":[{"text":"b","label":"A"}]},"answerKey":"A"}`, []string{"arc_easy.jsonl:1: 1 choices, want 2"}},
		{"arc_easy", "arc_easy.jsonl", `{"question":"a","choices":{"text":["b","c"],"label":["A"]},"answerKey":"A"}`, []string{"arc_easy.jsonl:1: 2 choices with 1 labels"}},
		{"arc_easy", "arc_easy.jsonl", `{"question":"a","choices":["b","c"],"answerKey":"A"}`, []string{"arc_easy.jsonl:1: an object with answerKey, choices, question", "choices.text"}},
		{"arc_easy", "ARC-Easy.test.json", adapters(question+`a\n\nAnswer1: b Answer2: c`, "answer1"), []string{`ARC-Easy.test.json:1: the instruction has no "\n\nAnswer format: "`}},
		{"arc_easy", "ARC-Easy.test.json", adapters(question+`a\n\nAnswer1: b Answer2: c\n\nAnswer format: answer1/answer2`, "answer3"), []string{`:1: the answer is "answer3", want one of answer1, answer2`}},
		{"arc_easy", "ARC-Easy.test.json", adapters(question+`a\n\nAnswer1: b Answer2: c\n\nAnswer format: answer1/ending2`, "answer1"), []string{`:1: answer format "answer1/ending2": choice 2 is "ending2", want "answer2"`}},
		{"arc_easy", "ARC-Easy.test.json", adapters(question+`a\n\nAnswer1: b Answer3: c\n\nAnswer format: answer1/answer2`, "answer1"), []string{`:1: the instruction lacks one of "\n\nAnswer1: " to " Answer2: ", in this order`}},
		{"arc_easy", "ARC-Easy.test.json", adapters(question+`a\n\nAnswer1: not Answer2: c Answer2: d\n\nAnswer format: answer1/answer2`, "answer1"), []string{":1: the instruction can be read in two ways", `["a" "not" "c Answer2: d"]`, `["a" "not Answer2: c" "d"]`, "original file"}},
		{"boolq", "boolq.jsonl", `{"question":"a","passage":"b","label":2}`, []string{"boolq.jsonl:1: label 2: want false, true, 0 or 1"}},
		{"boolq", "boolq.jsonl", `{"question":"a","label":1}`, []string{"boolq.jsonl:1: an object with label, question: want boolq, one of SuperGLUE's (question, passage, label)"}},
		{"social_iqa", "social_iqa.jsonl", `{"context":"a","question":"b","answerA":"c","answerB":"d","answerC":"e","label":"0"}`, []string{"social_iqa.jsonl:1: label 0: want 1 to 3"}},
		{"social_iqa", "social_iqa.jsonl", `{"context":"a","question":"b","answerA":"c","answerB":"d","answerC":"e","correct":"D"}`, []string{`social_iqa.jsonl:1: correct: "D": want A, B or C`}},
		{"winogrande", "winogrande.jsonl", `{"sentence":"a b","option1":"c","option2":"d","answer":"1"}`, []string{`winogrande.jsonl:1: sentence "a b" has no blank _`}},
		{"winogrande", "winogrande.jsonl", `{"sentence":"a _","option1":"c","option2":"d","answer":""}`, []string{"winogrande.jsonl has no labels", "winogrande-labels.lst"}},
		{"hellaswag", "hellaswag_val_full.txt", "a b\n0\nc\nd\ne\nf\ng h\n1\ni\n", []string{"hellaswag_val_full.txt:7: the last item has 3 of 6 lines", "truncated?"}},
		{"hellaswag", "hellaswag_val_full.txt", "a b\n0\nc\nd\ne\nf\ng\n4\nh\ni\nj\nk\n", []string{`hellaswag_val_full.txt:8: "4", want a label 0 to 3`, "activity_label"}},
		{"hellaswag", "hellaswag_val_full.txt", "a b\n0\nc\n\ne\nf\n", []string{"hellaswag_val_full.txt:1: choice 2 is empty"}},
		{"hellaswag", "hellaswag.jsonl", `{"activity_label":"a","ctx_a":"b","ctx_b":"c","endings":["d","e","f","g"],"label":""}`, []string{"hellaswag.jsonl:1: no label: is this the test split"}},
		{"mmlu_anatomy", "test/anatomy_test.csv", "a,b,c,d,e,A\na,b,c,d,e\n", []string{"anatomy_test.csv:2: wrong number of fields: want question,A,B,C,D,answer"}},
		{"mmlu_anatomy", "test/anatomy_test.csv", "question,A,B,C,D,answer\n", []string{`anatomy_test.csv:1: the answer is "answer", want A, B, C or D`}},
		{"mmlu_anatomy", "test/anatomy_test.csv", "a,b,c,d,e,A\n\"a\nb,c,d,e,A\n", []string{"anatomy_test.csv:2: ", "truncated?"}},
		{"mmlu_anatomy", "test/anatomy_test.csv", "a,b,c,d,e,AB\n", []string{`anatomy_test.csv:1: the answer is "AB"`}},
		{"mmlu_anatomy", "mmlu/anatomy/test.jsonl", "a,b,c,d,e,A\n", []string{`test.jsonl:1: begins with "a,b,c,d,e,A": want JSON objects, one of Hugging Face's (question, choices, answer)`}},
		{"mmlu_anatomy", "mmlu/anatomy/test.jsonl", `{"question":"a","choices":["b"],"answer":0}`, []string{"test.jsonl:1: 1 choices, want 4"}},
	} {
		dir := write(t, c.name, c.content)
		_, err := Load(Options{Tasks: []string{c.task}, Dir: dir})
		if err == nil {
			t.Errorf("%s, %q: no error", c.task, c.content)
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s, %q: %v\nwant it to say %q", c.task, c.content, err, s)
			}
		}
	}
}

func TestLabelsBeside(t *testing.T) {
	dir := write(t, "piqa.jsonl", `{"goal":"a","sol1":"b","sol2":"c"}`)
	for labels, says := range map[string]string{
		"":       "piqa-labels.lst: empty",
		"0\n1\n": "piqa-labels.lst: 2 labels for the 1 items of ",
		"2\n":    "piqa-labels.lst:1: label 2: want 0 to 1",
		"yes\n":  "piqa-labels.lst:1: label \"yes\": want a number",
	} {
		if err := os.WriteFile(filepath.Join(dir, "piqa-labels.lst"), []byte(labels), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(Options{Tasks: []string{"piqa"}, Dir: dir}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", labels, err, says)
		}
	}
}

func TestNothingToRead(t *testing.T) {
	one := "testdata/original"
	for _, c := range []struct {
		o    Options
		says string
	}{
		{Options{Tasks: []string{"arc"}, Dir: one}, `no task "arc": there are boolq, piqa, social_iqa, hellaswag, winogrande, arc_easy, arc_challenge, openbookqa, mmlu, mmlu_SUBJECT, and all`},
		{Options{Tasks: []string{"mmlu_magic"}, Dir: one}, `no task "mmlu_magic"`},
		{Options{Tasks: []string{"all", "piqa"}, Dir: one}, "piqa is asked for twice"},
		{Options{Dir: one}, "no tasks: there are boolq"},
		{Options{Tasks: []string{"piqa"}, Dir: "testdata"}, "piqa: no file in testdata with its items: looked for piqa.test.json, piqa.jsonl, piqa/valid.jsonl"},
		{Options{Tasks: []string{"piqa"}, Dir: "testdata/mmlu.golden"}, "folder of the tasks' items: testdata/mmlu.golden is a file: give the folder"},
		{Options{Tasks: []string{"piqa"}, Dir: "testdata/none"}, "folder of the tasks' items: stat testdata/none: no such file"},
		{Options{Tasks: []string{"mmlu"}, Dir: one}, "mmlu_abstract_algebra: no file in testdata/original with its items: looked for mmlu/test/abstract_algebra_test.csv"},
		{Options{Tasks: []string{"piqa"}, Dir: one, Shots: 1, ShotsDir: "testdata"}, "piqa: no file in testdata with its examples: looked for piqa.train.json"},
	} {
		if _, err := Load(c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.says)
		}
	}
}

// FuzzRead finds that no file of any task panics.
func FuzzRead(f *testing.F) {
	tasks, err := named([]string{"all", "mmlu_anatomy"})
	if err != nil {
		f.Fatal(err)
	}
	for n, t := range tasks {
		for _, layout := range []string{"adapters", "original", "huggingface"} {
			for _, name := range t.files {
				if b, err := os.ReadFile(filepath.Join("testdata", layout, name)); err == nil {
					f.Add(n, b)
				}
			}
		}
	}
	f.Add(len(tasks)-1, []byte("a,b,c,d,e,A\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, n int, b []byte) {
		if n < 0 || n >= len(tasks) {
			return
		}
		path := filepath.Join(dir, "file.jsonl")
		if len(b) > 0 && b[0] != '{' && b[0] != '[' {
			path = filepath.Join(dir, "file.csv")
		}
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		items, err := tasks[n].read(path)
		if err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%v does not name the file", err)
		}
		s := &Set{Task: tasks[n], Items: items}
		s.examples = func(int) ([]Item, error) { return items[:1], nil }
		for i := range items {
			if p, err := s.prompt(i); err != nil || len(p.contexts) < 2 {
				t.Errorf("%v, %v", p, err)
			}
		}
	})
}
