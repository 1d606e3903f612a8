package load

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"
)

// Report is one run: what was sent, to which servers, and what came back.
type Report struct {
	Load    string    `json:"load"`
	Date    time.Time `json:"date"`
	Command string    `json:"command"`
	Version string    `json:"version"`
	Machine Machine   `json:"machine"`
	Servers []Server  `json:"servers"`
	Rows    []Row     `json:"rows"`
	Notes   []string  `json:"notes,omitempty"`
}

// Machine is the one that the load came from.
type Machine struct {
	CPU     string `json:"cpu"`
	OS      string `json:"os"`
	Threads int    `json:"threads"`
}

func describeMachine() Machine {
	return Machine{strings.TrimSpace(cpuid.CPU.BrandName), runtime.GOOS + "/" + runtime.GOARCH, runtime.GOMAXPROCS(0)}
}

// Row is one server under one load.
type Row struct {
	Server      string  `json:"server"`
	Level       string  `json:"level"`
	Concurrency int     `json:"concurrency,omitempty"`
	Rate        float64 `json:"requests_per_second,omitempty"`
	Summary     Summary `json:"summary"` // of all rounds
	Process     Process `json:"process"` // the most of all rounds; the processor time of all
	OwnCPU      float64 `json:"load_generator_cpu_seconds"`
	Rounds      []Round `json:"rounds"`
}

// Round is one measurement of a row.
type Round struct {
	Summary Summary  `json:"summary"`
	Process Process  `json:"process"`
	OwnCPU  float64  `json:"load_generator_cpu_seconds"`
	Samples []Sample `json:"requests"`
}

func (r *Row) name() string { return r.Server + ", " + r.Level }

// finish sums the rounds up.
func (r *Report) finish(rows []Row) {
	for i := range rows {
		row := &rows[i]
		var all [][]Sample
		for _, one := range row.Rounds {
			all = append(all, one.Samples)
			p := &row.Process
			*p = Process{max(p.Resident, one.Process.Resident), max(p.Anon, one.Process.Anon), max(p.Peak, one.Process.Peak), p.CPU + one.Process.CPU}
			row.OwnCPU += one.OwnCPU
		}
		row.Summary = summarize(all...)
		r.Notes = append(r.Notes, row.notes()...)
	}
	r.Rows = rows
}

// notes tell what the figures of a row do not.
func (r *Row) notes() (list []string) {
	s := &r.Summary
	note := func(format string, args ...any) { list = append(list, r.name()+": "+fmt.Sprintf(format, args...)) }
	for _, kind := range slices.Sorted(maps.Keys(s.Errors)) {
		note("%d × %s, the first: %s", s.Errors[kind], kind, r.firstDetail(kind))
	}
	if s.Limited > 0 {
		note("%d × HTTP 429, %d with Retry-After", s.Limited, s.RetryAfter)
	}
	if s.Again > 0 {
		note("%d requests were sent again: the server had closed the connection that it kept", s.Again)
	}
	if n := s.Done - s.Usage; n > 0 {
		note("of %d requests no usage came: their tokens are counted by chunks", n)
	}
	if x := ratio(float64(s.Output), float64(s.Chunks)); x > 1.02 || x > 0 && x < 0.98 {
		note("%.2f tokens a chunk: times between tokens are those between chunks", x)
	}
	if s.Late.P99 > 0.01 {
		note("requests were sent late by %.3g s (p99): this machine had no time for the load generator", s.Late.P99)
	}
	return list
}

// firstDetail is what the first failure of a kind said.
func (r *Row) firstDetail(kind string) string {
	for _, one := range r.Rounds {
		for _, s := range one.Samples {
			if s.Error == kind {
				return s.Detail
			}
		}
	}
	return ""
}
