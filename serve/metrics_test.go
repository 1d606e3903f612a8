package serve

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/llmqat/llmqat/runtime/engine"
)

// exposition is what a scrape reads.
type exposition struct {
	kinds  map[string]string  // of metrics, by name
	values map[string]float64 // of series, by name and labels
}

var sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",? ?)*\})? (\S+)$`)

// parseExposition reads Prometheus' text format, and fails where promtool would complain.
func parseExposition(t *testing.T, data []byte) exposition {
	t.Helper()
	x := exposition{map[string]string{}, map[string]float64{}}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			if x.kinds[name] != "" {
				t.Errorf("%s has two types", name)
			}
			x.kinds[name] = kind
			continue
		}
		if strings.HasPrefix(line, "# HELP ") {
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("not a sample: %q", line)
			continue
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if _, twice := x.values[m[1]+m[2]]; err != nil || twice {
			t.Errorf("%q: %v, twice: %v", line, err, twice)
		}
		x.values[m[1]+m[2]] = v
		if kind := x.kinds[metricName(m[1], x.kinds)]; kind == "" {
			t.Errorf("%s has no type", m[1])
		} else if kind == "counter" && strings.HasPrefix(m[1], "llmqat_") && !strings.HasSuffix(m[1], "_total") {
			t.Errorf("the counter %s does not end in _total", m[1])
		}
	}
	for name, kind := range x.kinds {
		if kind == "histogram" && strings.HasPrefix(name, "llmqat_") {
			x.checkHistogram(t, name)
		}
	}
	return x
}

// metricName is the metric that a series belongs to: histograms and summaries have several kinds of them.
func metricName(series string, kinds map[string]string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(series, suffix); ok && (kinds[name] == "histogram" || kinds[name] == "summary") {
			return name
		}
	}
	return series
}

// checkHistogram wants buckets that rise to the count.
func (x exposition) checkHistogram(t *testing.T, name string) {
	t.Helper()
	last, inf := -1.0, math.NaN()
	counters := newCounters()
	for _, le := range counters.histograms() {
		if le.name != name {
			continue
		}
		for _, bound := range le.le {
			n, ok := x.values[fmt.Sprintf(`%s_bucket{le="%g"}`, name, bound)]
			if !ok || n < last {
				t.Errorf("%s: bucket %g: %g after %g, there: %v", name, bound, n, last, ok)
			}
			last = n
		}
		inf = x.values[name+`_bucket{le="+Inf"}`]
	}
	if count := x.values[name+"_count"]; inf != count || last > count {
		t.Errorf("%s: %g in all buckets, %g observed", name, inf, count)
	}
}

func (s *site) scrape() exposition {
	s.t.Helper()
	resp, data := s.do("GET", "/metrics", "")
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		s.t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	return parseExposition(s.t, data)
}

// Every metric moves with what it is for.
func TestMetricsMove(t *testing.T) {
	f := &fake{info: engine.Info{MaxSeqs: 16, KVPages: 10, KVBytes: 1000, WeightBytes: 2000, Device: `cpu/"x"`}}
	s := newSite(t, f, Options{Version: "v1\n"})
	ids := generated(t, s.tok, "hello world")
	f.answer = func(ctx context.Context, r engine.Request, send func(engine.Event)) {
		for _, id := range ids {
			e := token(r, id, 0)
			e.Waited = 70 * time.Millisecond
			send(e)
			time.Sleep(time.Millisecond)
		}
		send(engine.Event{Kind: engine.KindDone, Reason: engine.ReasonStop, Waited: 70 * time.Millisecond})
	}
	before := s.scrape()
	s.complete(`{"prompt":"hello"}`)
	s.do("GET", "/nowhere", "")
	s.server.counters.panics.Inc()
	s.server.counters.clientsLeft.Inc()
	f.mu.Lock()
	f.stats = engine.Stats{Waiting: 1, WaitingTokens: 2, Running: 3, FreePages: 6, CachedPages: 5, Steps: 4, Busy: time.Second,
		PromptTokens: 6, CachedTokens: 7, Preempted: 8, GeneratedTokens: 9, Cancelled: 10, Failed: 11, Panics: 12}
	f.mu.Unlock()
	after := s.scrape()
	pages := float64(engine.PageTokens)
	tokens := float64(len(ids))
	for series, want := range map[string]float64{
		`llmqat_responses_total{code="200"}`: 2, `llmqat_responses_total{code="404"}`: 1, "llmqat_panics_total": 1, "llmqat_clients_left_total": 1,
		"llmqat_prompt_tokens_total": 2, "llmqat_generated_tokens_total": tokens + 1,
		"llmqat_time_to_first_token_seconds_count": 1, "llmqat_inter_token_seconds_count": tokens - 1, "llmqat_request_seconds_count": 1,
		`llmqat_queue_seconds_bucket{le="0.05"}`: 0, `llmqat_queue_seconds_bucket{le="0.1"}`: 1, "llmqat_queue_seconds_sum": 0.07,
		"llmqat_queue_requests": 1, "llmqat_queue_tokens": 2, "llmqat_batch_sequences": 3, "llmqat_engine_steps_total": 4, "llmqat_engine_busy_seconds_total": 1,
		"llmqat_kv_tokens_used": -6 * pages, "llmqat_kv_tokens_cached": 5 * pages,
		"llmqat_engine_prompt_tokens_total": 6, "llmqat_engine_cached_tokens_total": 7, "llmqat_engine_preemptions_total": 8,
		"llmqat_engine_generated_tokens_total": 9, "llmqat_engine_cancellations_total": 10, "llmqat_engine_failures_total": 11, "llmqat_engine_panics_total": 12,
	} {
		if got := after.values[series] - before.values[series]; math.Abs(got-want) > 1e-9 {
			t.Errorf("%s moved by %g, want %g", series, got, want)
		}
	}
	for series, want := range map[string]float64{
		"llmqat_kv_tokens": 10 * pages, "llmqat_kv_bytes": 1000, "llmqat_weight_bytes": 2000, "llmqat_batch_sequences_max": 16,
		"llmqat_ready": 1, "llmqat_requests_running": 0,
	} {
		if got := after.values[series]; got != want {
			t.Errorf("%s is %g, want %g", series, got, want)
		}
	}
	s.server.Unready()
	if got := s.scrape().values["llmqat_ready"]; got != 0 {
		t.Errorf("llmqat_ready is %g while draining", got)
	}
	s.server.model.Store(nil)
	if got, there := s.scrape().values["llmqat_ready"]; got != 0 || !there {
		t.Errorf("llmqat_ready is %g while loading", got)
	}
}

// The documentation's table has every metric, and no other.
func TestMetricsAreDocumented(t *testing.T) {
	s := newSite(t, &fake{}, Options{})
	s.complete(goodBody)
	doc, err := os.ReadFile("../docs/server.md")
	if err != nil {
		t.Fatal(err)
	}
	there := s.scrape().kinds
	for name := range there {
		if strings.HasPrefix(name, "llmqat_") && !bytes.Contains(doc, []byte("| `"+name)) {
			t.Errorf("docs/server.md lacks %s", name)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(llmqat_\\w+)").FindAllSubmatch(doc, -1) {
		if there[string(m[1])] == "" {
			t.Errorf("docs/server.md tells of %s, which is not there", m[1])
		}
	}
}

// Who is refused is told to come back when those that wait now will have been answered.
func TestRetryAfter(t *testing.T) {
	var p pace
	stats := engine.Stats{WaitingTokens: 1000}
	for _, c := range []struct {
		busy   time.Duration // more
		tokens int64         // computed in it
		want   int
	}{
		{0, 0, 1},                         // nothing is known
		{100 * time.Millisecond, 100, 1},  // 1000 tokens a second
		{10 * time.Millisecond, 0, 1},     // too short to tell
		{990 * time.Millisecond, 100, 10}, // 100 of late
		{time.Minute, 60, 60},             // 1 a second: 1000 s, but ask again in a minute
		{time.Second, 300, 4},             // 300
	} {
		stats.Busy += c.busy
		stats.GeneratedTokens += c.tokens
		if got := p.retryAfter(stats); got != c.want {
			t.Errorf("after %d tokens in %v more: %d s, want %d", c.tokens, c.busy, got, c.want)
		}
	}

	s := newSite(t, &fake{refuse: fmt.Errorf("%w: 3 requests wait", engine.ErrQueueFull)}, Options{})
	s.fake.stats = engine.Stats{Busy: time.Second, GeneratedTokens: 50, WaitingTokens: 1500}
	for _, body := range []string{goodBody, `{"prompt":"x","n":3}`, `{"prompt":"x","stream":true}`} {
		resp, data := s.do("POST", "/v1/completions", body)
		wantError(t, resp, data, 429)
		if resp.Header.Get("Retry-After") != "30" || !strings.Contains(string(data), `"code":"rate_limit_exceeded"`) {
			t.Errorf("%v %s", resp.Header, data)
		}
	}
}
