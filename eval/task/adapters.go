package task

import (
	"fmt"
	"slices"
	"strings"
)

// instruction is a layout of LLM-Adapters: question and choices are one text for an assistant, from
// which they are read back. White space that was around them before is lost.
type instruction struct {
	begin string // before the question
	label string // with a number before each choice
	apart string // between choices
	end   string // between the last one and "Answer format: label1/label2"
}

var (
	adaptersAnswer   = instruction{"Please choose the correct answer to the question: ", "Answer", " ", "\n\n"}
	adaptersSolution = instruction{"Please choose the correct solution to the question: ", "Solution", "\n\n", "\n\n"}
	adaptersOption   = instruction{"Please choose the correct answer to fill in the blank to complete the given sentence: ", "Option", " ", " "}
)

func (in instruction) layout() layout {
	type object struct{ Instruction, Answer string }
	return layout{is: "LLM-Adapters'", keys: []string{"instruction", "answer"}, item: of(func(o *object) (Item, error) {
		return in.item(o.Instruction, o.Answer)
	})}
}

func (in instruction) item(text, answer string) (Item, error) {
	body, ok := strings.CutPrefix(text, in.begin)
	if !ok {
		return Item{}, fmt.Errorf("the instruction is %.60q..., want one that begins with %q", text, in.begin)
	}
	format := in.end + "Answer format: "
	at := strings.LastIndex(body, format)
	if at < 0 {
		return Item{}, fmt.Errorf("the instruction has no %q", format)
	}
	names := strings.Split(body[at+len(format):], "/")
	item := Item{Gold: -1}
	for i, name := range names {
		if want := fmt.Sprintf("%s%d", strings.ToLower(in.label), i+1); name != want {
			return Item{}, fmt.Errorf("answer format %q: choice %d is %q, want %q", body[at+len(format):], i+1, name, want)
		}
		if name == answer {
			item.Gold = i
		}
	}
	if item.Gold < 0 {
		return Item{}, fmt.Errorf("the answer is %q, want one of %s", answer, strings.Join(names, ", "))
	}
	first := in.fromLeft(body[:at], len(names))
	if first == nil {
		return Item{}, fmt.Errorf("the instruction lacks one of %q to %q, in this order", in.mark(1), in.mark(len(names)))
	}
	if last := in.fromRight(body[:at], len(names)); !slices.Equal(first, last) {
		return Item{}, fmt.Errorf("the instruction can be read in two ways, as %q and as %q: take the task's original file", first, last)
	}
	item.Question, item.Choices = first[0], first[1:]
	return item, nil
}

// mark stands before choice n.
func (in instruction) mark(n int) string {
	apart := in.apart
	if n == 1 {
		apart = "\n\n"
	}
	return fmt.Sprintf("%s%s%d: ", apart, in.label, n)
}

// fromLeft cuts a text at the marks of n choices, each where it stands first; nil where they are not
// there in order.
func (in instruction) fromLeft(text string, n int) (parts []string) {
	for i := 1; i <= n; i++ {
		before, after, ok := strings.Cut(text, in.mark(i))
		if !ok {
			return nil
		}
		parts, text = append(parts, before), after
	}
	return append(parts, text)
}

// fromRight is fromLeft, but each mark is where it stands last, which is another place where a choice
// has such a mark inside. There must be one of each.
func (in instruction) fromRight(text string, n int) []string {
	parts := make([]string, n+1)
	for i := n; i > 0; i-- {
		mark := in.mark(i)
		at := strings.LastIndex(text, mark)
		parts[i], text = text[at+len(mark):], text[:at]
	}
	parts[0] = text
	return parts
}
