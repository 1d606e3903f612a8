package load

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// column is one of a table: its head and its cells.
type column struct {
	head string
	cell func(r *Row) string
}

func count(head string, of func(s *Summary) int) column {
	return column{head, func(r *Row) string { return fmt.Sprint(of(&r.Summary)) }}
}

func rate(head string, of func(s *Summary) float64) column {
	return column{head, func(r *Row) string { return digits(of(&r.Summary)) }}
}

// spreads are four columns of times.
func spreads(head string, of func(s *Summary) Spread) []column {
	one := func(name string, of func(Spread) float64, sum func(*Summary) Spread) column {
		return column{name, func(r *Row) string {
			if s := sum(&r.Summary); s.N > 0 {
				return digits(of(s))
			}
			return "-"
		}}
	}
	return []column{
		one(head+" mean", func(s Spread) float64 { return s.Mean }, of),
		one("p50", func(s Spread) float64 { return s.P50 }, of),
		one("p95", func(s Spread) float64 { return s.P95 }, of),
		one("p99", func(s Spread) float64 { return s.P99 }, of),
	}
}

// milliseconds are for what is short.
func milliseconds(of func(s *Summary) Spread) func(s *Summary) Spread {
	return func(s *Summary) Spread {
		v := of(s)
		return Spread{v.N, 1e3 * v.Mean, 1e3 * v.P50, 1e3 * v.P95, 1e3 * v.P99, 1e3 * v.Max}
	}
}

func ttft(s *Summary) Spread    { return s.TTFT }
func between(s *Summary) Spread { return s.Between }
func whole(s *Summary) Spread   { return s.Whole }

// Table writes the report for people.
func (r *Report) Table(w io.Writer) error {
	fmt.Fprintf(w, "%s\nload from %s, %d threads\n", r.Load, r.Machine.CPU, r.Machine.Threads)
	tables := [][]column{
		{
			count("requests", func(s *Summary) int { return s.Requests }),
			count("answered", func(s *Summary) int { return s.Done }),
			count("429", func(s *Summary) int { return s.Limited }),
			count("failed", func(s *Summary) int { return s.Requests - s.Done - s.Limited }),
			rate("under way", func(s *Summary) float64 { return s.InFlight }),
			rate("output tokens/s", (*Summary).outputPerSec),
			{"while most decode", func(r *Row) string { return r.Summary.full() }},
			rate("all tokens/s", (*Summary).totalPerSec),
			rate("requests/s", (*Summary).requestsPerSec),
		},
		append(spreads("first token, s:", ttft), spreads("between tokens, ms:", milliseconds(between))...),
		spreads("whole request, s:", whole),
	}
	if r.any(func(r *Row) bool { return r.Summary.FirstTTFT.N > 0 }) {
		tables = append(tables, append(spreads("first token, new prefix, s:", func(s *Summary) Spread { return s.FirstTTFT }),
			spreads("known prefix, s:", func(s *Summary) Spread { return s.AgainTTFT })...))
	}
	if r.any(func(r *Row) bool { return r.Summary.Cached > 0 }) {
		tables = append(tables, []column{count("prompt tokens", func(s *Summary) int { return s.Input }), count("of them cached", func(s *Summary) int { return s.Cached })})
	}
	if r.any(func(r *Row) bool { return r.Process.Resident > 0 }) {
		tables = append(tables, []column{
			{"resident, MB", func(r *Row) string { return digits(float64(r.Process.Resident) / 1e6) }},
			{"anonymous", func(r *Row) string { return digits(float64(r.Process.Anon) / 1e6) }},
			{"peak", func(r *Row) string { return digits(float64(r.Process.Peak) / 1e6) }},
			{"CPU ms an output token", func(r *Row) string { return digits(1e3 * ratio(r.Process.CPU, float64(r.Summary.Output))) }},
		})
	}
	tables = append(tables, []column{
		{"load generator, % of a core", func(r *Row) string { return digits(100 * ratio(r.OwnCPU, r.Summary.Seconds)) }},
		{"µs a chunk", func(r *Row) string { return digits(1e6 * ratio(r.OwnCPU, float64(r.Summary.Chunks))) }},
	})
	for _, columns := range tables {
		if err := r.table(w, columns); err != nil {
			return err
		}
	}
	if err := r.against(w); err != nil {
		return err
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "\n%s\n", n)
	}
	return nil
}

func (r *Report) any(has func(r *Row) bool) bool {
	return slices.ContainsFunc(r.Rows, func(r Row) bool { return has(&r) })
}

// table writes a line for each row.
func (r *Report) table(w io.Writer, columns []column) error {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, c := range columns {
		fmt.Fprintf(t, "\t%s", c.head)
	}
	fmt.Fprintln(t, "\t")
	for i := range r.Rows {
		fmt.Fprint(t, r.Rows[i].name())
		for _, c := range columns {
			fmt.Fprintf(t, "\t%s", c.cell(&r.Rows[i]))
		}
		fmt.Fprintln(t, "\t")
	}
	return t.Flush()
}

// full is the rate while most answers came at once, and how many these were. Of a moment
// there is no rate.
func (s *Summary) full() string {
	if s.Full.Seconds < s.Seconds/10 || s.Full.Seconds == 0 {
		return "-"
	}
	return fmt.Sprintf("%s (%d)", digits(s.Full.perSec()), s.Full.Streams)
}

// digits prints v with three digits.
func digits(v float64) string {
	if v >= 999.5 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
