package load

import (
	"math"
	"testing"
)

// As numpy.percentile([...], p) has it.
func TestSpread(t *testing.T) {
	s := spread([]float64{40, 10, 30, 20})
	for what, v := range map[string][2]float64{"mean": {s.Mean, 25}, "p50": {s.P50, 25}, "p95": {s.P95, 38.5}, "p99": {s.P99, 39.7}, "max": {s.Max, 40}, "n": {float64(s.N), 4}} {
		if math.Abs(v[0]-v[1]) > 1e-12 {
			t.Errorf("%s: %v, want %v", what, v[0], v[1])
		}
	}
	if s := spread([]float64{7}); s != (Spread{1, 7, 7, 7, 7, 7}) {
		t.Errorf("of one value: %+v", s)
	}
	if s := spread(nil); s != (Spread{}) {
		t.Errorf("of none: %+v", s)
	}
	hundred := make([]float64, 101)
	for i := range hundred {
		hundred[100-i] = float64(i)
	}
	if s := spread(hundred); s.P50 != 50 || s.P95 != 95 || s.P99 != 99 {
		t.Errorf("of 0 to 100: %+v", s)
	}
}

// Recorded times: two answers at once from 2 to 4, in chunks of two tokens, and a failure
// that takes time and counts for nothing else.
func TestSummary(t *testing.T) {
	samples := []Sample{
		{Start: 0, End: 4, Chunks: Times{1, 2, 3, 4}, Input: 10, Output: 8, Usage: true, Cached: 3},
		{Start: 1, End: 5, Chunks: Times{2, 3.5, 4, 5}, Input: 20, Output: 4},
		{Start: 1, End: 8, Chunks: Times{3, 3.1}, Input: 99, Output: 99, Error: kindTimeout},
	}
	s := summarize(samples)
	if s.Requests != 3 || s.Done != 2 || s.Usage != 1 || s.Errors[kindTimeout] != 1 || s.Input != 30 || s.Output != 12 || s.Cached != 3 || s.Chunks != 8 || s.MaxFlight != 3 {
		t.Errorf("%+v", s)
	}
	// After 2 and until 4: chunks at 3 and 4 of two tokens each, at 3.5 and 4 of one each.
	if s.Full != (Full{2, 2, 6}) || s.Seconds != 8 || s.InFlight != (4+4+7)/8. || s.outputPerSec() != 1.5 {
		t.Errorf("%+v", s)
	}
	if s.TTFT != spread([]float64{1, 1}) || s.Between != spread([]float64{1, 1, 1, 1.5, 0.5, 1}) || s.Whole != spread([]float64{4, 4}) {
		t.Errorf("%+v", s)
	}
	if s.full() != "3 (2)" {
		t.Errorf("while most decode: %s", s.full())
	}
	if brief := (Summary{Seconds: 10, Full: Full{2, 0.9, 5}}); brief.full() != "-" {
		t.Errorf("of a moment: %s", brief.full())
	}
	// A round of fewer at once adds nothing to the time of most; one of more replaces it.
	lone := []Sample{{Start: 0, End: 2, Chunks: Times{1, 2}, Output: 2}}
	if two := summarize(lone, samples, lone); two.Full != s.Full || two.Seconds != 12 || two.Output != 16 {
		t.Errorf("%+v", two)
	}
	if none := summarize(nil, []Sample{}); none.Seconds != 0 || none.InFlight != 0 || none.Full.perSec() != 0 {
		t.Errorf("%+v", none)
	}
}

// A prefix is known once some request that has it was answered by a token.
func TestPrefixKnown(t *testing.T) {
	s := summarize([]Sample{
		{Start: 0, End: 9, Chunks: Times{5}, Prefix: 1},
		{Start: 1, End: 9, Chunks: Times{3}, Prefix: 1}, // nobody has a token yet
		{Start: 3, End: 9, Chunks: Times{3.5}, Prefix: 1},
		{Start: 4, End: 9, Chunks: Times{8}, Prefix: 2},
		{Start: 4, End: 9, Chunks: Times{8}}, // without a prefix
	})
	if s.FirstTTFT != spread([]float64{5, 2, 4}) || s.AgainTTFT != spread([]float64{0.5}) || s.TTFT.N != 5 {
		t.Errorf("new %+v, known %+v", s.FirstTTFT, s.AgainTTFT)
	}
}
