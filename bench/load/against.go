package load

import (
	"fmt"
	"io"
	"slices"
)

// Ratios are a figure of a server by that of the first server, in each round. Both were
// measured one after the other; what the machine does over minutes falls out.
type Ratios []float64

// String is the median, and where there are several the least and the most.
func (r Ratios) String() string {
	if len(r) == 0 {
		return "-"
	}
	v := slices.Sorted(slices.Values(r))
	if len(v) == 1 {
		return digits(v[0])
	}
	return fmt.Sprintf("%s (%s–%s)", digits(percentile(v, 50)), digits(v[0]), digits(v[len(v)-1]))
}

// ratios compares row with base, round by round. Rounds that lack the figure are left out.
func ratios(row, base *Row, of func(r *Round) float64) (list Ratios) {
	for i := range row.Rounds {
		if a, b := of(&row.Rounds[i]), of(&base.Rounds[i]); a > 0 && b > 0 {
			list = append(list, a/b)
		}
	}
	return list
}

// base is the first server's row of the same load.
func (r *Report) base(row *Row) *Row {
	for i := range r.Rows {
		if b := &r.Rows[i]; b.Level == row.Level {
			return b
		}
	}
	return row
}

// against writes how the other servers compare with the first.
func (r *Report) against(w io.Writer) error {
	if len(r.Servers) < 2 {
		return nil
	}
	first := r.Servers[0].Name
	fmt.Fprintf(w, "\nagainst %s: ratios of each round, median (least–most)\n", first)
	compared := *r
	compared.Rows = slices.DeleteFunc(slices.Clone(r.Rows), func(r Row) bool { return r.Server == first })
	one := func(head string, of func(r *Round) float64) column {
		return column{head, func(row *Row) string { return ratios(row, r.base(row), of).String() }}
	}
	return compared.table(w, []column{
		one("output tokens/s", func(r *Round) float64 { return r.Summary.outputPerSec() }),
		one("first token p50", func(r *Round) float64 { return r.Summary.TTFT.P50 }),
		one("p95", func(r *Round) float64 { return r.Summary.TTFT.P95 }),
		one("between tokens p50", func(r *Round) float64 { return r.Summary.Between.P50 }),
		one("p95", func(r *Round) float64 { return r.Summary.Between.P95 }),
		one("whole p50", func(r *Round) float64 { return r.Summary.Whole.P50 }),
		one("resident", func(r *Round) float64 { return float64(r.Process.Resident) }),
		one("anonymous", func(r *Round) float64 { return float64(r.Process.Anon) }),
	})
}
