package load

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// recorded is a report of two servers at two loads, its times written down.
func recorded() *Report {
	r := &Report{Load: "64 in", Date: time.Unix(1e9, 0).UTC(), Servers: []Server{{Name: "a", URL: "http://a", Key: "secret"}, {Name: "b", URL: "http://b"}}}
	var rows []Row
	for _, n := range []int{1, 4} {
		for _, s := range r.Servers {
			row := Row{Server: s.Name, Concurrency: n, Level: level{concurrency: n}.String()}
			for round := range 2 {
				one := Round{Process: Process{int64(100e6 + 1e6*float64(round)), 50e6, 200e6, 1.5}, OwnCPU: 0.25}
				for i := range n {
					at := float64(i)
					one.Samples = append(one.Samples, Sample{Start: at, End: at + 3, Chunks: Times{at + 1, at + 1.5, at + 3}, Input: 64, Output: 3, Cached: 32, Usage: true, Prefix: 1})
				}
				one.Summary = summarize(one.Samples)
				row.Rounds = append(row.Rounds, one)
			}
			rows = append(rows, row)
		}
	}
	r.finish(rows)
	return r
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := recorded().Table(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a, 1 at once", "b, 4 at once", "first token, s: mean", "between tokens, ms: mean", "44.7", "new prefix", "of them cached", "anonymous", "101", "CPU ms an output token",
		"against a: ratios of each round, median (least–most)", "1 (1–1)", "load generator, % of a core"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "429, ") || strings.Contains(b.String(), "a chunk: times") {
		t.Errorf("notes without need:\n%s", b.String())
	}
}

// The report's JSON has all that the table has, and every request's times; no key.
func TestJSON(t *testing.T) {
	r := recorded()
	b, err := json.Marshal(r)
	if err != nil || bytes.Contains(b, []byte("secret")) || !bytes.Contains(b, []byte(`"chunks":"1000.000 1500.000 3000.000"`)) {
		t.Fatalf("%v: %s", err, b)
	}
	var back Report
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	r.Servers[0].Key = ""
	if !reflect.DeepEqual(r, &back) {
		t.Error(cmp.Diff(r, &back))
	}
	var times Times
	if err := times.UnmarshalText([]byte("1 x")); err == nil {
		t.Error("1 x reads as times")
	}
}

func TestChart(t *testing.T) {
	failed := recorded()
	for i := range failed.Rows {
		for j := range failed.Rows[i].Rounds {
			failed.Rows[i].Rounds[j].Samples = []Sample{{End: 1, Error: kindTimeout}}
		}
	}
	failed.finish(failed.Rows)
	for want, r := range map[string]*Report{"first token, p50, s": recorded(), "requests at once": failed} {
		var b bytes.Buffer
		if err := r.Chart(&b, "svg"); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("no %q: %v", want, err)
		}
	}
}

// Each part of a round has the tokens that came in it, the mean of all rounds.
func TestOverTime(t *testing.T) {
	row := Row{Rounds: []Round{
		{Samples: []Sample{{End: 2, Chunks: Times{0.4, 0.5, 1.2}, Output: 6}, {End: 2, Chunks: Times{0.4}, Output: 9, Error: kindTimeout}}},
		{Samples: []Sample{{End: 1, Chunks: Times{0.7}, Output: 1}}},
		{}, {},
	}}
	l := row.overTime()
	if !reflect.DeepEqual(l.X, []float64{0, 0, 0.5, 0.5, 1, 1, 1.5, 1.5, 2, 2}) || !reflect.DeepEqual(l.Y, []float64{0, 2, 2, 0.5, 0.5, 1, 1, 0, 0, 0}) {
		t.Errorf("%+v", l)
	}
	if l := shares("x", []float64{4, 2}); l.X[0] != 2 || l.Y[0] != 1 || l.X[points/2] != 3 || l.Y[points/2] != 0.5 || l.X[points] != 4 || l.Y[points] != 0 {
		t.Errorf("%+v", l)
	}
}

// A round in which either server has no figure says nothing.
func TestRatios(t *testing.T) {
	round := func(rss ...int64) (r Row) {
		for _, n := range rss {
			r.Rounds = append(r.Rounds, Round{Process: Process{Resident: n}})
		}
		return r
	}
	row, base := round(4, 5, 0, 9, 8), round(2, 0, 3, 3, 8)
	if got := ratios(&row, &base, func(r *Round) float64 { return float64(r.Process.Resident) }); !reflect.DeepEqual(got, Ratios{2, 3, 1}) || got.String() != "2 (1–3)" {
		t.Errorf("%v", got)
	}
	if s := (Ratios{}).String() + (Ratios{0.5}).String(); s != "-0.5" {
		t.Errorf("%q", s)
	}
}

// Notes tell what a row's figures do not.
func TestNotes(t *testing.T) {
	r := Row{Server: "a", Level: "2/s", Summary: Summary{Done: 5, Again: 1, Usage: 2, Output: 30, Chunks: 20, Late: Spread{P99: 0.5}}}
	want := []string{
		"a, 2/s: 1 requests were sent again: the server had closed the connection that it kept",
		"a, 2/s: of 3 requests no usage came: their tokens are counted by chunks",
		"a, 2/s: 1.50 tokens a chunk: times between tokens are those between chunks",
		"a, 2/s: requests were sent late by 0.5 s (p99): this machine had no time for the load generator",
	}
	if got := r.notes(); !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}
