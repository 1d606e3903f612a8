package bench

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/llmqat/llmqat/internal/chart"
)

func microseconds(s float64) string { return fmt.Sprintf("%.1f µs", s*1e6) }

// Table writes the report for people: a line an operator, which its kernel has the name
// of, or several have lines of.
func (r *ProfileReport) Table(w io.Writer) error {
	r.head(w)
	for i := range r.Steps {
		s := &r.Steps[i]
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintf(t, "%s, %s\tcalls\ttime\tof the sum\tbytes\tread\tMAC\tmultiplied\tof what binds it\t\n", s.Model, s.What)
		for _, row := range s.Rows {
			name, macs, macSpeed := row.label(), "", ""
			if len(row.Kernels) == 1 {
				name, row.Kernels = name+": "+row.Kernels[0].Name, nil
			}
			if n := row.IntMACs + row.FloatMACs; n > 0 {
				macs, macSpeed = digits(float64(n), "", "k", "M", "G", "T"), macRate(row.MACRate)
			}
			fmt.Fprintf(t, "%s\t%d\t%s\t%.1f %%\t%s\t%s\t%s\t%s\t%s\t\n", name, row.Calls, microseconds(row.Seconds),
				100*row.Seconds/s.Sum, size(row.Bytes), byteRate(row.ByteRate), macs, macSpeed, row.share())
			for _, k := range row.Kernels {
				fmt.Fprintf(t, "%s\t%d\t%s\t%.1f %%\t\t\t\t\t\t\n", k.Name, k.Launches, microseconds(k.Seconds), 100*k.Seconds/s.Sum)
			}
		}
		fmt.Fprintf(t, "sum\t\t%s\t\t\t\t\t\t\t\n", microseconds(s.Sum))
		fmt.Fprintf(t, "the step itself\t\t%s\t%.1f %%\t\t\t\t\t\t\n", microseconds(s.Seconds), 100*s.Seconds/s.Sum)
		if err := t.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	r.foot(w)
	return nil
}

// Chart draws the time of each step's operators.
func (r *ProfileReport) Chart(w io.Writer, format string) error {
	var panels []chart.Panel
	for i := range r.Steps {
		s := &r.Steps[i]
		p := chart.Panel{Title: fmt.Sprintf("%s, %s: %.0f µs; operators, µs", s.Model, s.What, s.Seconds*1e6)}
		for j := range s.Rows {
			row := &s.Rows[j]
			p.Bars = append(p.Bars, chart.Bar{Name: row.label(), Value: row.Seconds * 1e6, Note: row.share(), Colour: row.colour()})
		}
		panels = append(panels, p)
	}
	return chart.Bars(w, format, fmt.Sprintf("%s: %s", r.Title, r.Machine.name()), panels)
}
