package task

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// subjects are MMLU's.
var subjects = strings.Fields(`
	abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology college_chemistry
	college_computer_science college_mathematics college_medicine college_physics computer_security conceptual_physics
	econometrics electrical_engineering elementary_mathematics formal_logic global_facts high_school_biology
	high_school_chemistry high_school_computer_science high_school_european_history high_school_geography
	high_school_government_and_politics high_school_macroeconomics high_school_mathematics high_school_microeconomics
	high_school_physics high_school_psychology high_school_statistics high_school_us_history high_school_world_history
	human_aging human_sexuality international_law jurisprudence logical_fallacies machine_learning management marketing
	medical_genetics miscellaneous moral_disputes moral_scenarios nutrition philosophy prehistory professional_accounting
	professional_law professional_medicine professional_psychology public_relations security_studies sociology
	us_foreign_policy virology world_religions`)

var letters = []string{"A", "B", "C", "D"}

// mmluTask is a subject of MMLU. Its choices stand in the question; their letters are scored.
func mmluTask(subject string) *Task {
	test, dev := subject+"_test.csv", subject+"_dev.csv"
	return &Task{
		Name: mmlu + "_" + subject, subject: subject, shots: 5,
		files:       []string{"mmlu/test/" + test, "test/" + test, "data/test/" + test, "mmlu/" + subject + "/test.jsonl"},
		train:       []string{"mmlu/dev/" + dev, "dev/" + dev, "data/dev/" + dev, "mmlu/" + subject + "/dev.jsonl"},
		layouts:     mmluLayouts,
		description: "The following are multiple choice questions (with answers) about " + strings.ReplaceAll(subject, "_", " ") + ".\n\n",
		ask: func(i *Item) ([]string, []string) {
			var b strings.Builder
			b.WriteString(strings.TrimFunc(i.Question, isSpace))
			for n, c := range i.Choices {
				fmt.Fprintf(&b, "\n%s. %s", letters[n], c)
			}
			return []string{b.String() + "\nAnswer:"}, letters
		},
	}
}

var mmluLayouts = []layout{{
	is: "Hugging Face's", keys: []string{"question", "choices", "answer"},
	item: of(func(o *struct {
		Question string
		Choices  []string
		Answer   number
	}) (Item, error) {
		if len(o.Choices) != len(letters) {
			return Item{}, fmt.Errorf("%d choices, want %d", len(o.Choices), len(letters))
		}
		gold, err := o.Answer.from(0, len(letters))
		return Item{Question: o.Question, Choices: o.Choices, Gold: gold}, err
	}),
}}

// readCSV reads MMLU's own layout: question, A, B, C, D, answer.
func readCSV(path string, file []byte) ([]Item, error) {
	r := csv.NewReader(bytes.NewReader(file))
	r.FieldsPerRecord = 2 + len(letters)
	var items []Item
	for {
		row, err := r.Read()
		if err == io.EOF {
			return items, nil
		}
		var bad *csv.ParseError
		if errors.As(err, &bad) {
			return nil, fmt.Errorf("%s:%d: %w: want question,A,B,C,D,answer, or JSON, %v; is the file truncated?", path, bad.StartLine, bad.Err, &mmluLayouts[0])
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		line, _ := r.FieldPos(0)
		item := Item{Question: row[0], Choices: row[1:5], Gold: strings.Index("ABCD", row[5])}
		if len(row[5]) != 1 || item.Gold < 0 {
			return nil, fmt.Errorf("%s:%d: the answer is %q, want A, B, C or D: rows are question,A,B,C,D,answer", path, line, row[5])
		}
		items = append(items, item)
	}
}
