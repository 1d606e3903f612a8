// Package task measures a model by multiple-choice tasks: it reads their files, asks how likely a
// model holds each choice, and counts how often the right one wins, by the conventions of
// lm-evaluation-harness and of the LLaMA paper. docs/eval.md has both.
package task

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Item is a question and its choices, as it stands in a task's file.
type Item struct {
	Passage  string // what the question is about, where it has one
	Question string // or the text that a choice ends, or a sentence with a blank "_"
	Choices  []string
	Gold     int // index of the right choice
}

// Task is a kind of question: where its items are found and how they are asked.
type Task struct {
	Name      string
	published int // items of the published split, 0 for MMLU
	shots     int // examples before each item where nobody says how many
	subject   string

	files   []string // names of the file with the items, in a folder
	train   []string // and of the one with examples
	layouts []layout

	description string // begins every context
	// ask returns what an item's choices follow and the choices; where one of them is the same for
	// all, it has one.
	ask func(i *Item) (contexts, choices []string)

	normed bool // lm-evaluation-harness has acc_norm of it
	alone  bool // the LLaMA paper divides by P(choice | "Answer:")
}

// zeroShot are the tasks of the papers' tables, in their order.
var zeroShot = []*Task{
	{
		Name: "boolq", published: 3270, alone: true,
		files: []string{"boolq_val_joined.jsonl", "boolq.jsonl", "boolq/dev.jsonl", "boolq/validation.jsonl", "BoolQ/val.jsonl"},
		train: []string{"boolq.train.jsonl", "boolq/train.jsonl", "BoolQ/train.jsonl"}, layouts: boolqLayouts,
		ask: func(i *Item) ([]string, []string) {
			return []string{i.Passage + "\nQuestion: " + i.Question + "?\nAnswer:"}, i.Choices
		},
	}, {
		Name: "piqa", published: 1838, normed: true,
		files: []string{"piqa.test.json", "piqa.jsonl", "piqa/valid.jsonl", "piqa/dev.jsonl", "piqa/validation.jsonl"},
		train: []string{"piqa.train.json", "piqa.train.jsonl", "piqa/train.jsonl"}, layouts: piqaLayouts,
		ask: questionAnswer,
	}, {
		Name: "social_iqa", published: 1954,
		files: []string{"social_i_qa.test.json", "social_iqa.jsonl", "socialiqa-train-dev/dev.jsonl", "social_iqa/dev.jsonl", "social_iqa/validation.jsonl"},
		train: []string{"social_i_qa.train.json", "social_iqa.train.jsonl", "socialiqa-train-dev/train.jsonl", "social_iqa/train.jsonl"}, layouts: siqaLayouts,
		ask: func(i *Item) ([]string, []string) { return []string{"Q: " + i.Question + "\nA:"}, i.Choices },
	}, {
		Name: "hellaswag", published: 10042, normed: true,
		files: []string{"hellaswag_val_full.txt", "hellaswag_val.jsonl", "hellaswag.jsonl", "hellaswag/validation.jsonl"},
		train: []string{"hellaswag_train.jsonl", "hellaswag.train.jsonl", "hellaswag/train.jsonl"}, layouts: hellaswagLayouts,
		ask: func(i *Item) ([]string, []string) { return []string{i.Question}, i.Choices },
	}, {
		Name: "winogrande", published: 1267,
		files: []string{"winogrande.test.json", "winogrande.jsonl", "winogrande_1.1/dev.jsonl", "winogrande/dev.jsonl", "winogrande/validation.jsonl"},
		train: []string{"winogrande.train.json", "winogrande.train.jsonl", "winogrande_1.1/train_xl.jsonl", "winogrande/train.jsonl"}, layouts: winograndeLayouts,
		ask: fillBlank,
	}, {
		Name: "arc_easy", published: 2376, normed: true,
		files: []string{"ARC-Easy.test.json", "ARC-Easy-Test.jsonl", "arc_easy.jsonl", "ARC-Easy/ARC-Easy-Test.jsonl", "arc_easy/test.jsonl"},
		train: []string{"ARC-Easy.train.json", "ARC-Easy-Train.jsonl", "arc_easy.train.jsonl", "ARC-Easy/ARC-Easy-Train.jsonl", "arc_easy/train.jsonl"}, layouts: arcLayouts,
		ask: questionAnswer,
	}, {
		Name: "arc_challenge", published: 1172, normed: true,
		files: []string{"ARC-Challenge.test.json", "ARC-Challenge-Test.jsonl", "arc_challenge.jsonl", "ARC-Challenge/ARC-Challenge-Test.jsonl", "arc_challenge/test.jsonl"},
		train: []string{"ARC-Challenge.train.json", "ARC-Challenge-Train.jsonl", "arc_challenge.train.jsonl", "ARC-Challenge/ARC-Challenge-Train.jsonl", "arc_challenge/train.jsonl"}, layouts: arcLayouts,
		ask: questionAnswer,
	}, {
		Name: "openbookqa", published: 500, normed: true, alone: true,
		files: []string{"openbookqa.test.json", "openbookqa.jsonl", "openbookqa/test.jsonl", "OpenBookQA-V1-Sep2018/Data/Main/test.jsonl"},
		train: []string{"openbookqa.train.json", "openbookqa.train.jsonl", "openbookqa/train.jsonl", "OpenBookQA-V1-Sep2018/Data/Main/train.jsonl"}, layouts: openbookqaLayouts,
		ask: func(i *Item) ([]string, []string) { return []string{i.Question}, i.Choices },
	},
}

func questionAnswer(i *Item) ([]string, []string) {
	return []string{"Question: " + i.Question + "\nAnswer:"}, i.Choices
}

// fillBlank scores what follows the blank, which is the same for all, after each filling.
func fillBlank(i *Item) (contexts, choices []string) {
	before, after, _ := strings.Cut(i.Question, "_")
	for _, c := range i.Choices {
		contexts = append(contexts, before+c)
	}
	return contexts, []string{strings.TrimFunc(after, isSpace)}
}

// isSpace is Python's str.isspace, which the harness strips by.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

const mmlu = "mmlu"

// Names lists all tasks; mmlu_SUBJECT is one, too.
func Names() []string {
	var names []string
	for _, t := range zeroShot {
		names = append(names, t.Name)
	}
	return append(names, mmlu)
}

// named returns the tasks of a list of names: "all" are the eight zero-shot tasks, mmlu its subjects.
func named(names []string) ([]*Task, error) {
	var tasks []*Task
	for _, name := range names {
		subject, isSubject := strings.CutPrefix(name, mmlu+"_")
		at := slices.IndexFunc(zeroShot, func(t *Task) bool { return t.Name == name })
		switch {
		case at >= 0:
			tasks = append(tasks, zeroShot[at])
		case name == "all":
			tasks = append(tasks, zeroShot...)
		case name == mmlu:
			for _, s := range subjects {
				tasks = append(tasks, mmluTask(s))
			}
		case isSubject && slices.Contains(subjects, subject):
			tasks = append(tasks, mmluTask(subject))
		default:
			return nil, fmt.Errorf("no task %q: there are %s, mmlu_SUBJECT, and all for the first eight", name, strings.Join(Names(), ", "))
		}
	}
	seen := map[string]bool{}
	for _, t := range tasks {
		if seen[t.Name] {
			return nil, fmt.Errorf("task %s is asked for twice", t.Name)
		}
		seen[t.Name] = true
	}
	if len(tasks) == 0 {
		return nil, fmt.Errorf("no tasks: there are %s, mmlu_SUBJECT, and all for the first eight", strings.Join(Names(), ", "))
	}
	return tasks, nil
}
