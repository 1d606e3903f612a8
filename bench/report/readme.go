package report

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/llmqat/llmqat/internal/replace"
)

// Marks of what a report writes in another document.
const (
	readmeBegin = "<!-- report:begin -->"
	readmeEnd   = "<!-- report:end -->"
)

// Readme replaces what stands between the marks of a Markdown file by a table of each set.
func Readme(r *Report, path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := r.within(string(b))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return replace.File(path, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

// within returns text with the tables between its marks.
func (r *Report) within(text string) (string, error) {
	before, rest, ok := strings.Cut(text, readmeBegin)
	_, after, ends := strings.Cut(rest, readmeEnd)
	if !ok || !ends {
		return "", fmt.Errorf("no place for the report's table: add a line %s and after it a line %s", readmeBegin, readmeEnd)
	}
	return before + readmeBegin + "\n" + r.block() + readmeEnd + after, nil
}

// block is a table of every set: the first one of the report, without tasks, which the models of a
// README are too small for.
func (r *Report) block() string {
	var b bytes.Buffer
	for i := range r.Sets {
		s := &r.Sets[i]
		t := s.table("", s.figures()...)
		q := &s.Models[0].Quality[0]
		fmt.Fprintf(&b, "\n**%s**, %s parameters; tokens/s on %s; quality on %s (%s tokens), ± one standard error:\n\n", plain(s.Title),
			commas(float64(s.Teacher.Parameters)), plain(s.machine()), plain(s.Texts[0].Name), commas(float64(q.Tokens)))
		t.markdown(&b)
	}
	b.WriteString("\n")
	return b.String()
}
