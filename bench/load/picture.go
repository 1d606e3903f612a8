package load

import (
	"io"
	"math"
	"slices"

	"github.com/llmqat/llmqat/internal/chart"
)

// Chart draws how times are spread, the tokens of each moment and, where there are
// several loads, what each brought.
func (r *Report) Chart(w io.Writer, format string) error {
	tokens := chart.Curves{Title: "output tokens/s, over a round"}
	first := chart.Curves{Title: "share of requests that waited longer than this for the first token"}
	gaps := chart.Curves{Title: "share of tokens that came later than this after the one before"}
	for i := range r.Rows {
		row := &r.Rows[i]
		var ttft, between []float64
		for _, one := range row.Rounds {
			for _, s := range one.Samples {
				if !s.ok() || len(s.Chunks) == 0 {
					continue
				}
				ttft = append(ttft, s.ttft())
				for j := range s.Chunks[1:] {
					between = append(between, s.Chunks[j+1]-s.Chunks[j])
				}
			}
		}
		if len(ttft) > 0 {
			first.Lines = append(first.Lines, shares(row.name(), ttft))
			tokens.Lines = append(tokens.Lines, row.overTime())
		}
		if len(between) > 0 {
			gaps.Lines = append(gaps.Lines, shares(row.name(), between))
		}
	}
	var panels []chart.Curves
	for _, p := range []chart.Curves{tokens, first, gaps} {
		if len(p.Lines) > 0 {
			panels = append(panels, p)
		}
	}
	return chart.Lines(w, format, r.Load, "seconds", append(panels, r.sweep()...))
}

// points are enough for a line of this width.
const points = 200

// shares is the share of v above each value.
func shares(name string, v []float64) chart.Line {
	v = slices.Sorted(slices.Values(v))
	l := chart.Line{Name: name}
	for i := range points + 1 {
		share := float64(i) / points
		l.X, l.Y = append(l.X, percentile(v, 100*share)), append(l.Y, 1-share)
	}
	return l
}

// overTime is the rate of tokens in each part of a round, the mean of all rounds, as steps.
func (r *Row) overTime() chart.Line {
	end := 0.0
	for _, one := range r.Rounds {
		for _, s := range one.Samples {
			end = max(end, s.End)
		}
	}
	width := max(0.5, math.Ceil(2*end/60)/2) // at most some 60 parts
	l := chart.Line{Name: r.name()}
	point := func(x, y float64) { l.X, l.Y = append(l.X, x), append(l.Y, y) }
	point(0, 0)
	for from := 0.0; from < end; from += width {
		n := 0.0
		for _, one := range r.Rounds {
			for i := range one.Samples {
				if s := &one.Samples[i]; s.ok() {
					n += s.tokens(from, from+width)
				}
			}
		}
		n /= width * float64(len(r.Rounds))
		point(from, n)
		point(from+width, n)
	}
	point(l.X[len(l.X)-1], 0)
	return l
}

// sweep draws throughput and the time to the first token over the load, a line for each server.
func (r *Report) sweep() []chart.Curves {
	if len(r.Rows) == len(r.Servers) {
		return nil
	}
	axis := "requests at once"
	if r.Rows[0].Rate > 0 {
		axis = "requests/s"
	}
	throughput := chart.Curves{Title: "output tokens/s", X: axis}
	wait := chart.Curves{Title: "first token, p50, s", X: axis}
	for _, s := range r.Servers {
		var x, speed, first []float64
		for i := range r.Rows {
			if row := &r.Rows[i]; row.Server == s.Name {
				x = append(x, max(row.Rate, float64(row.Concurrency)))
				speed, first = append(speed, row.Summary.outputPerSec()), append(first, row.Summary.TTFT.P50)
			}
		}
		throughput.Lines = append(throughput.Lines, chart.Line{Name: s.Name, X: x, Y: speed})
		wait.Lines = append(wait.Lines, chart.Line{Name: s.Name, X: x, Y: first})
	}
	return []chart.Curves{throughput, wait}
}
