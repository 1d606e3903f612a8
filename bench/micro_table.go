package bench

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/llmqat/llmqat/internal/chart"
)

// label says what op measured, as "qkv, 16 tokens".
func (op *Operator) label() string {
	name := op.Name
	switch {
	case op.Tokens == 1:
		name += ", 1 token"
	case op.Tokens > 1:
		name += fmt.Sprintf(", %d tokens", op.Tokens)
	}
	if op.Context > 0 {
		name += fmt.Sprintf(" at %d", op.Context)
	}
	return name
}

// share spells an operator's share of what binds it.
func (op *Operator) share() string {
	switch {
	case op.Bound == "":
		return ""
	case op.Share > 1 && op.Bound == boundRead:
		return fmt.Sprintf("from caches, %.0f %%", 100*op.Share)
	}
	return fmt.Sprintf("%.0f %% of %s", 100*op.Share, op.Bound)
}

// base returns the first section of s's kind, whose times s's are compared with.
func (r *MicroReport) base(s *Section) *Section {
	for i := range r.Sections {
		if r.Sections[i].Kind == s.Kind {
			return &r.Sections[i]
		}
	}
	return s
}

// title names s: its kind, and what makes it differ from others of the kind.
func (r *MicroReport) title(s *Section) string { return strings.TrimSpace(s.Kind + " " + r.variant(s)) }

// variant is s's format, and the threads where they differ.
func (r *MicroReport) variant(s *Section) string {
	switch {
	case len(r.Machine.Ceilings) < 2:
		return s.Format
	case s.Format == "":
		return threads(s.Threads)
	}
	return s.Format + ", " + threads(s.Threads)
}

// Table writes the report for people.
func (r *MicroReport) Table(w io.Writer) error {
	r.head(w)
	var lines bytes.Buffer
	t := tabwriter.NewWriter(&lines, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i := range r.Sections {
		s := &r.Sections[i]
		base, against := r.base(s), ""
		if base != s {
			against = "against " + r.variant(base)
		}
		fmt.Fprintf(t, "%s\ttime\tbytes\tGB/s\tMAC\tGMAC/s\tshare\t%s\t\n", r.title(s), against)
		for j := range s.Operators {
			op := &s.Operators[j]
			var read, byteRate, macs, macRate, ratio string
			if op.Bytes > 0 {
				read, byteRate = size(op.Bytes), fmt.Sprintf("%.1f", op.ByteRate/1e9)
			}
			if n := op.IntMACs + op.FloatMACs; n > 0 {
				macs, macRate = digits(float64(n), "", "k", "M", "G", "T"), fmt.Sprintf("%.1f", op.MACRate/1e9)
			}
			if base != s {
				ratio = fmt.Sprintf("%.2fx", base.Operators[j].Seconds/op.Seconds)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", op.label(), digits(op.Seconds*1e9, "ns", "µs", "ms", "s"),
				read, byteRate, macs, macRate, op.share(), ratio)
		}
		fmt.Fprintln(t, "\t\t\t\t\t\t\t\t")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(lines.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
	r.foot(w)
	return nil
}

// Chart draws each operator's share of what binds it; of linear layers their sum by
// tokens, and each one with the fewest and the most.
func (r *MicroReport) Chart(w io.Writer, format string) error {
	var panels []chart.Panel
	for i := range r.Sections {
		s := &r.Sections[i]
		few, many := s.ends()
		p := chart.Panel{Title: r.title(s) + ", share of the binding limit, %"}
		for j := range s.Operators {
			op := &s.Operators[j]
			inner := s.Kind == linearKind && op.Name != linearSum && op.Tokens != few && op.Tokens != many
			if op.Bound == "" || inner {
				continue
			}
			bar := chart.Bar{Name: op.label(), Value: 100 * op.Share, Limit: 100, Colour: op.colour()}
			if bar.Note = byteRate(op.ByteRate) + ", " + op.Bound; op.Bound != boundRead {
				bar.Note = macRate(op.MACRate) + ", " + op.Bound
			}
			p.Bars = append(p.Bars, bar)
		}
		panels = append(panels, p)
	}
	return chart.Bars(w, format, fmt.Sprintf("%s: %s", r.Title, r.Machine.name()), panels)
}

// ends returns the fewest and the most tokens of an operator of s.
func (s *Section) ends() (few, many int) {
	few = s.Operators[0].Tokens
	for _, op := range s.Operators {
		few, many = min(few, op.Tokens), max(many, op.Tokens)
	}
	return few, many
}

// colour numbers what binds op.
func (op *Operator) colour() int {
	switch {
	case op.Bound == "":
		return 0
	case op.Bound == boundRead:
		return 1
	case strings.HasPrefix(op.Bound, "int8"):
		return 2
	}
	return 3
}
