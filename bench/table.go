package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/llmqat/llmqat/internal/chart"
)

// fewReads are the pages that any process may have to read from disk.
const fewReads = 100

// rowsOf returns what writes a row of a table to t: its name, and a cell for each model.
func rowsOf[M any](t io.Writer, models []M) func(name string, cell func(m *M) string) {
	return func(name string, cell func(m *M) string) {
		fmt.Fprintf(t, "%s\t", name)
		for i := range models {
			fmt.Fprintf(t, "%s\t", cell(&models[i]))
		}
		fmt.Fprintln(t)
	}
}

// Table writes the report for people.
func (r *Report) Table(w io.Writer) error {
	r.head(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := rowsOf(t, r.Models)
	row("", (*Result).label)
	row("file", func(m *Result) string { return size(m.FileBytes) })
	row("weights read a token", func(m *Result) string { return size(m.WeightBytes) })
	row("KV cache a token", func(m *Result) string { return size(m.KVTokenBytes) })
	row("resident at first token", func(m *Result) string { return size(m.Startup.Resident) })
	row("start to first token", func(m *Result) string {
		return m.Startup.FirstToken.Round(time.Millisecond).String()
	})
	if slices.ContainsFunc(r.Models, func(m Result) bool { return m.DiskReads > fewReads }) {
		row("pages read from disk", func(m *Result) string { return fmt.Sprint(m.DiskReads) })
	}
	first := &r.Models[0]
	for i := range first.Prefill {
		r.rate(row, "prefill", "share of peak", func(m *Result) []Rate { return m.Prefill }, i, func(m *Result, share float64) string {
			return fmt.Sprintf("%.0f %% of %s", share, r.peakName(m))
		})
	}
	for i := range first.Decode {
		r.rate(row, "decode at", "share of bandwidth", func(m *Result) []Rate { return m.Decode }, i, func(m *Result, share float64) string {
			if share > 100 {
				return fmt.Sprintf("from caches, %.0f %%", share)
			}
			return fmt.Sprintf("%.0f %%", share)
		})
	}
	if err := t.Flush(); err != nil {
		return err
	}
	r.foot(w)
	return nil
}

// rate writes the rows of rate i of each model: its speed, its share, and where they
// are known the gain of threads over the first number of them, and the energy.
func (r *Report) rate(row func(string, func(*Result) string), what, shareOf string, rates func(*Result) []Rate, i int, share func(*Result, float64) string) {
	base := rates(&r.Models[0])[i]
	first := i
	for first > 0 && rates(&r.Models[0])[first-1].sameWork(base) {
		first-- // threads are the innermost loop
	}
	row(r.name(what, base)+", tokens/s", func(m *Result) string {
		return fmt.Sprintf("%.1f%s", rates(m)[i].PerSec, against(rates(m)[i].PerSec, base.PerSec))
	})
	row(shareOf, func(m *Result) string { return share(m, 100*rates(m)[i].Share) })
	if first < i {
		row("against "+threads(rates(&r.Models[0])[first].Threads), func(m *Result) string {
			return fmt.Sprintf("%.2fx", rates(m)[i].PerSec/rates(m)[first].PerSec)
		})
	}
	if base.Joules > 0 {
		row("joules a token", func(m *Result) string { return fmt.Sprintf("%.3g", rates(m)[i].Joules) })
	}
	if base.ByteRate > 0 {
		row("read", func(m *Result) string { return byteRate(rates(m)[i].ByteRate) })
	}
	if base.MACRate > 0 {
		row("multiplied", func(m *Result) string { return macRate(rates(m)[i].MACRate) })
	}
}

// sameWork reports whether only the threads differ.
func (r Rate) sameWork(b Rate) bool { return r.Tokens == b.Tokens && r.Batch == b.Batch }

// against spells a ratio to the base, whose own column stays empty.
func against(v, base float64) string {
	if v == base || base == 0 {
		return ""
	}
	return fmt.Sprintf(" %5.2fx", v/base)
}

// name says what v measured.
func (r *Report) name(what string, v Rate) string {
	name := named(what, v.Tokens, v.Batch)
	if len(r.Machine.Ceilings) > 1 {
		name += ", " + threads(v.Threads)
	}
	return name
}

// named says what is done with tokens of batch sequences.
func named(what string, tokens, batch int) string {
	name := fmt.Sprintf("%s %d", what, tokens)
	if batch > 1 {
		name += fmt.Sprintf(", batch %d", batch)
	}
	return name
}

// String names p as its row of the table does.
func (p point) String() string {
	if p.prompt {
		return named("prefill", p.tokens, p.batch)
	}
	return named("decode at", p.tokens, p.batch)
}

// label is the head of a column.
func (m *Result) label() string { return strings.TrimSpace(m.Name + " " + m.KVScheme) }

// peakName names the multipliers that m's prefill is held against.
func (r *Report) peakName(m *Result) string {
	if m.IntegerMatmul {
		return r.Machine.Ceilings[0].intName()
	}
	return r.Machine.Ceilings[0].floatName()
}

// Chart draws prefill and decode of every model, each with its limit.
func (r *Report) Chart(w io.Writer, format string) error {
	var panels []chart.Panel
	panel := func(title string, of func(*Result) string, rate func(*Result) Rate) {
		p := chart.Panel{Title: title}
		for i := range r.Models {
			m := &r.Models[i]
			v := rate(m)
			bar := chart.Bar{Name: m.label(), Value: v.PerSec}
			if v.Share > 0 {
				bar.Limit = v.PerSec / v.Share
				bar.Note = fmt.Sprintf("%.0f %% of %s", 100*v.Share, of(m))
			}
			p.Bars = append(p.Bars, bar)
		}
		panels = append(panels, p)
	}
	for i, d := range r.Models[0].Decode {
		panel(r.name("decode at", d)+", tokens/s", func(*Result) string { return "read bandwidth" },
			func(m *Result) Rate { return m.Decode[i] })
	}
	for i, p := range r.Models[0].Prefill {
		panel(r.name("prefill", p)+", tokens/s", func(m *Result) string { return r.peakName(m) + " peak" },
			func(m *Result) Rate { return m.Prefill[i] })
	}
	title := fmt.Sprintf("%s: %s", r.Title, r.Machine.name())
	if c := r.Machine.Ceilings; len(c) == 1 && c[0].Threads > 0 {
		title += ", " + threads(r.Machine.Ceilings[0].Threads)
	}
	return chart.Bars(w, format, title, panels)
}
