package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/llmqat/llmqat/internal/chart"
)

func (m *Trained) label() string { return strings.TrimSpace(m.Name + " " + m.KVScheme) }

// name says what t's steps are of, and the threads where they differ.
func (r *TrainReport) name(t TrainRate) string {
	s := fmt.Sprintf("step of %d × %d tokens", t.Windows, t.Length)
	if len(r.Machine.Ceilings) > 1 {
		s += ", " + threads(t.Threads)
	}
	return s
}

// Table writes the report for people.
func (r *TrainReport) Table(w io.Writer) error {
	r.head(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := rowsOf(t, r.Models)
	row("", (*Trained).label)
	for i, first := range r.Models[0].Rates {
		row(r.name(first)+", tokens/s", func(m *Trained) string {
			return fmt.Sprintf("%.0f%s", m.Rates[i].PerSec, against(m.Rates[i].PerSec, first.PerSec))
		})
		row("time", func(m *Trained) string { return digits(m.Rates[i].Seconds*1e9, "ns", "µs", "ms", "s") })
		row("useful products", func(m *Trained) string { return macRate(m.Rates[i].MACRate) })
		row("share of float32 peak", func(m *Trained) string { return fmt.Sprintf("%.0f %%", 100*m.Rates[i].Share) })
		if one, ok := r.single(first); ok {
			row("against 1 thread", func(m *Trained) string {
				return fmt.Sprintf("%.2fx", m.Rates[i].PerSec/m.Rates[one].PerSec)
			})
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	r.foot(w)
	return nil
}

// single finds the same steps as t's on one thread, where t's are on more.
func (r *TrainReport) single(t TrainRate) (int, bool) {
	for i, s := range r.Models[0].Rates {
		if s.Threads == 1 && t.Threads > 1 && s.Windows == t.Windows && s.Length == t.Length {
			return i, true
		}
	}
	return 0, false
}

// Chart draws each student's speed and limit.
func (r *TrainReport) Chart(w io.Writer, format string) error {
	var panels []chart.Panel
	for i, first := range r.Models[0].Rates {
		p := chart.Panel{Title: r.name(first) + ", tokens/s"}
		for j := range r.Models {
			m := &r.Models[j]
			v := m.Rates[i]
			p.Bars = append(p.Bars, chart.Bar{Name: m.label(), Value: v.PerSec, Limit: v.PerSec / v.Share,
				Note: fmt.Sprintf("%.0f %% of float32 peak", 100*v.Share)})
		}
		panels = append(panels, p)
	}
	return chart.Bars(w, format, fmt.Sprintf("%s: %s", r.Title, r.Machine.name()), panels)
}
