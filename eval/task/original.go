package task

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// choiceList is choices with labels as Hugging Face has them.
type choiceList struct{ Text, Label []string }

// answered makes an item whose right choice is named by its label.
func (c choiceList) answered(question, key string) (Item, error) {
	if len(c.Text) != len(c.Label) {
		return Item{}, fmt.Errorf("%d choices with %d labels", len(c.Text), len(c.Label))
	}
	gold := slices.Index(c.Label, key)
	if gold < 0 {
		return Item{}, fmt.Errorf("answerKey %q: want one of the labels %s", key, strings.Join(c.Label, ", "))
	}
	return Item{Question: question, Choices: c.Text, Gold: gold}, nil
}

// ai2 is how the Allen Institute publishes ARC and OpenBookQA.
var ai2 = layout{is: "the original", keys: []string{"question.stem", "question.choices", "answerKey"},
	item: of(func(o *struct {
		Question struct {
			Stem    string
			Choices []struct{ Text, Label string }
		}
		AnswerKey string
	}) (Item, error) {
		var c choiceList
		for _, choice := range o.Question.Choices {
			c.Text, c.Label = append(c.Text, choice.Text), append(c.Label, choice.Label)
		}
		return c.answered(o.Question.Stem, strings.TrimLeftFunc(o.AnswerKey, isSpace))
	}),
}

var arcLayouts = []layout{adaptersAnswer.layout(), ai2, {
	is: "Hugging Face's", keys: []string{"question", "choices.text", "choices.label", "answerKey"},
	item: of(func(o *struct {
		Question, AnswerKey string
		Choices             choiceList
	}) (Item, error) {
		return o.Choices.answered(o.Question, o.AnswerKey)
	}),
}}

var openbookqaLayouts = []layout{adaptersAnswer.layout(), ai2, {
	is: "Hugging Face's", keys: []string{"question_stem", "choices.text", "choices.label", "answerKey"},
	item: of(func(o *struct {
		Stem      string `json:"question_stem"`
		AnswerKey string
		Choices   choiceList
	}) (Item, error) {
		return o.Choices.answered(o.Stem, strings.TrimLeftFunc(o.AnswerKey, isSpace))
	}),
}}

// number is a label: 1, "1", or absent, which the test splits' "" and -1 are, too.
type number struct {
	is    bool
	value int
}

func (n *number) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "" || text == "-1" || text == "null" {
		return nil
	}
	v, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("label %s: want a number", b)
	}
	*n = number{true, v}
	return nil
}

// from returns the index of the choice with this label, where the first has label first; -1 without one.
func (n number) from(first, choices int) (int, error) {
	if !n.is {
		return -1, nil
	}
	if n.value < first || n.value >= first+choices {
		return 0, fmt.Errorf("label %d: want %d to %d", n.value, first, first+choices-1)
	}
	return n.value - first, nil
}

// labels reads lines of a file of labels.
func labels(first, choices int) func(line string) (int, error) {
	return func(line string) (int, error) {
		v, err := strconv.Atoi(line)
		if err != nil {
			return 0, fmt.Errorf("label %q: want a number", line)
		}
		return number{true, v}.from(first, choices)
	}
}

var piqaLayouts = []layout{adaptersSolution.layout(), {
	is: "the original, Hugging Face's", keys: []string{"goal", "sol1", "sol2"}, label: labels(0, 2),
	item: of(func(o *struct {
		Goal, Sol1, Sol2 string
		Label            number
	}) (Item, error) {
		gold, err := o.Label.from(0, 2)
		return Item{Question: o.Goal, Choices: []string{o.Sol1, o.Sol2}, Gold: gold}, err
	}),
}}

var siqaLayouts = []layout{adaptersAnswer.layout(), {
	is: "the original, Hugging Face's", keys: []string{"context", "question", "answerA", "answerB", "answerC"}, label: labels(1, 3),
	item: of(func(o *struct {
		Context, Question, AnswerA, AnswerB, AnswerC string
		Correct                                      string // release 1.4's letter
		Label                                        number
	}) (Item, error) {
		gold, err := o.Label.from(1, 3)
		if gold < 0 && o.Correct != "" {
			if gold = slices.Index([]string{"A", "B", "C"}, o.Correct); gold < 0 {
				err = fmt.Errorf("correct: %q: want A, B or C", o.Correct)
			}
		}
		return Item{Question: o.Context + " " + o.Question, Choices: []string{o.AnswerA, o.AnswerB, o.AnswerC}, Gold: gold}, err
	}),
}}

var winograndeLayouts = []layout{withBlank(adaptersOption.layout()), withBlank(layout{
	is: "the original, Hugging Face's", keys: []string{"sentence", "option1", "option2"}, label: labels(1, 2),
	item: of(func(o *struct {
		Sentence, Option1, Option2 string
		Answer                     number
	}) (Item, error) {
		gold, err := o.Answer.from(1, 2)
		return Item{Question: o.Sentence, Choices: []string{o.Option1, o.Option2}, Gold: gold}, err
	}),
})}

// withBlank refuses sentences without one.
func withBlank(l layout) layout {
	item := l.item
	l.item = func(object []byte) (Item, error) {
		i, err := item(object)
		if err == nil && !strings.Contains(i.Question, "_") {
			err = fmt.Errorf("sentence %q has no blank _", i.Question)
		}
		return i, err
	}
	return l
}

var boolqLayouts = []layout{{
	is: "SuperGLUE's", keys: []string{"question", "passage", "label"},
	item: of(func(o *struct {
		Question, Passage string
		Label             json.RawMessage
	}) (Item, error) {
		return yesNo(o.Passage, o.Question, o.Label)
	}),
}, {
	is: "the original", keys: []string{"question", "title", "passage", "answer"},
	item: of(func(o *struct {
		Question, Title, Passage string
		Answer                   json.RawMessage
	}) (Item, error) {
		return yesNo(o.Title+" -- "+o.Passage, o.Question, o.Answer) // as SuperGLUE has it, and the harness
	}),
}, {
	is: "Hugging Face's", keys: []string{"question", "passage", "answer"},
	item: of(func(o *struct {
		Question, Passage string
		Answer            json.RawMessage
	}) (Item, error) {
		return yesNo(o.Passage, o.Question, o.Answer)
	}),
}}

// yesNo makes an item of BoolQ, whose label is a boolean, 0 or 1.
func yesNo(passage, question string, label json.RawMessage) (Item, error) {
	i := Item{Passage: passage, Question: question, Choices: []string{"no", "yes"}}
	switch string(label) {
	case "false", "0":
	case "true", "1":
		i.Gold = 1
	default:
		return Item{}, fmt.Errorf("label %s: want false, true, 0 or 1; the test split has none", label)
	}
	return i, nil
}
