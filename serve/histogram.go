package serve

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// histogram counts durations in fixed buckets, as Prometheus' histogram_quantile wants them. VictoriaMetrics'
// own histograms have other buckets, which only its own database reads.
type histogram struct {
	name, help string
	le         []float64       // upper bounds, in seconds
	counts     []atomic.Uint64 // of durations above the bound before, the last of those above all
	sum        atomic.Int64    // nanoseconds
}

func newHistogram(name, help string, le ...float64) *histogram {
	return &histogram{name: name, help: help, le: le, counts: make([]atomic.Uint64, len(le)+1)}
}

func (h *histogram) observe(d time.Duration) {
	i, _ := slices.BinarySearch(h.le, d.Seconds())
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) write(w io.Writer) {
	header(w, h.name, "histogram", h.help)
	var n uint64
	for i, le := range h.le {
		n += h.counts[i].Load()
		fmt.Fprintf(w, "%s_bucket{le=\"%g\"} %d\n", h.name, le, n)
	}
	n += h.counts[len(h.le)].Load()
	fmt.Fprintf(w, "%s_bucket{le=\"+Inf\"} %d\n%s_sum %g\n%s_count %d\n", h.name, n, h.name, time.Duration(h.sum.Load()).Seconds(), h.name, n)
}

// escapeLabel spells a label's value as the text format wants it.
var escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace

// header begins a metric in Prometheus' text format.
func header(w io.Writer, name, kind, help string) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}
