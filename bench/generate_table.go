package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/llmqat/llmqat/internal/chart"
)

func (m *Generated) label() string { return strings.TrimSpace(m.Name + " " + m.KVScheme) }

// title says what ran.
func (w Workload) String() string {
	return fmt.Sprintf("%d sequences, %d tokens in, %d out", w.Seqs, w.In, w.Out)
}

// Table writes the report for people.
func (r *GenerateReport) Table(w io.Writer) error {
	r.head(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := rowsOf(t, r.Models)
	base := r.Models[0].PerSec
	row(r.Workload.String(), (*Generated).label)
	row("generated, tokens/s", func(m *Generated) string { return fmt.Sprintf("%.1f%s", m.PerSec, against(m.PerSec, base)) })
	row("share of bandwidth", func(m *Generated) string { return fmt.Sprintf("%.0f %%", 100*m.Share) })
	row("seconds", func(m *Generated) string { return fmt.Sprintf("%.3g", m.Seconds) })
	row("until every sequence had a token, s", func(m *Generated) string { return fmt.Sprintf("%.3g", m.FirstToken) })
	row("steps", func(m *Generated) string { return fmt.Sprint(m.Steps) })
	row("sequences that the KV cache holds", func(m *Generated) string { return fmt.Sprint(m.Held) })
	if err := t.Flush(); err != nil {
		return err
	}
	r.foot(w)
	return nil
}

// Chart draws each model's speed and limit.
func (r *GenerateReport) Chart(w io.Writer, format string) error {
	p := chart.Panel{Title: r.Workload.String() + ": generated, tokens/s"}
	for i := range r.Models {
		m := &r.Models[i]
		p.Bars = append(p.Bars, chart.Bar{Name: m.label(), Value: m.PerSec, Limit: m.PerSec / m.Share,
			Note: fmt.Sprintf("%.0f %% of read bandwidth", 100*m.Share)})
	}
	return chart.Bars(w, format, fmt.Sprintf("%s: %s", r.Title, r.Machine.name()), []chart.Panel{p})
}
