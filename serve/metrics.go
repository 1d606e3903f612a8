package serve

import (
	"fmt"
	"io"
	"runtime"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"github.com/llmqat/llmqat/runtime/engine"
)

// counters are what the server itself counts for GET /metrics, in Prometheus' text format. docs/server.md tells
// each.
type counters struct {
	set             *metrics.Set
	panics          *metrics.Counter // bugs met and survived
	clientsLeft     *metrics.Counter // requests cancelled because their client was gone
	promptTokens    *metrics.Counter // of accepted requests
	generatedTokens *metrics.Counter
	running         *metrics.Gauge // completions under way

	firstToken, interToken, duration, queued *histogram
}

func newCounters() counters {
	metrics.ExposeMetadata(true) // a type beside every metric
	set := metrics.NewSet()
	return counters{
		set:             set,
		panics:          set.NewCounter("llmqat_panics_total"),
		clientsLeft:     set.NewCounter("llmqat_clients_left_total"),
		promptTokens:    set.NewCounter("llmqat_prompt_tokens_total"),
		generatedTokens: set.NewCounter("llmqat_generated_tokens_total"),
		running:         set.NewGauge("llmqat_requests_running", nil),

		firstToken: newHistogram("llmqat_time_to_first_token_seconds", "From a completion's request to its first token.",
			0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
		interToken: newHistogram("llmqat_inter_token_seconds", "Between two tokens of a choice.",
			0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
		duration: newHistogram("llmqat_request_seconds", "From a completion's request to its end.",
			0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
		queued: newHistogram("llmqat_queue_seconds", "A completion's wait for its first step.",
			0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
	}
}

// answered counts a response by its status.
func (c *counters) answered(status int) {
	c.set.GetOrCreateCounter(fmt.Sprintf("llmqat_responses_total{code=\"%d\"}", status)).Inc()
}

func (c *counters) histograms() []*histogram {
	return []*histogram{c.firstToken, c.interToken, c.duration, c.queued}
}

// engineMetrics are read from the engine at every scrape.
var engineMetrics = []struct {
	name, kind, help string
	value            func(engine.Stats, engine.Info) float64
}{
	{"llmqat_queue_requests", "gauge", "Choices that wait for their first step.",
		func(s engine.Stats, _ engine.Info) float64 { return float64(s.Waiting) }},
	{"llmqat_queue_tokens", "gauge", "Their prompts, and up to 1024 tokens of each answer.",
		func(s engine.Stats, _ engine.Info) float64 { return float64(s.WaitingTokens) }},
	{"llmqat_batch_sequences", "gauge", "Sequences that run together.",
		func(s engine.Stats, _ engine.Info) float64 { return float64(s.Running) }},
	{"llmqat_batch_sequences_max", "gauge", "How many may (--max-seqs).",
		func(_ engine.Stats, i engine.Info) float64 { return float64(i.MaxSeqs) }},
	{"llmqat_kv_tokens", "gauge", "Tokens that the KV cache has room for.",
		func(_ engine.Stats, i engine.Info) float64 { return float64(i.KVTokens()) }},
	{"llmqat_kv_tokens_used", "gauge", "Of these, in pages that sequences hold.",
		func(s engine.Stats, i engine.Info) float64 {
			return float64((i.KVPages - s.FreePages) * engine.PageTokens)
		}},
	{"llmqat_kv_tokens_cached", "gauge", "Of these, in pages that no sequence holds and a later prompt may share.",
		func(s engine.Stats, _ engine.Info) float64 { return float64(s.CachedPages * engine.PageTokens) }},
	{"llmqat_kv_bytes", "gauge", "Memory of the KV cache.",
		func(_ engine.Stats, i engine.Info) float64 { return float64(i.KVBytes) }},
	{"llmqat_weight_bytes", "gauge", "Memory of the weights.",
		func(_ engine.Stats, i engine.Info) float64 { return float64(i.WeightBytes) }},
	{"llmqat_engine_steps_total", "counter", "Forward passes.",
		func(s engine.Stats, _ engine.Info) float64 { return float64(s.Steps) }},
	{"llmqat_engine_busy_seconds_total", "counter", "Time in them.",
		func(s engine.Stats, _ engine.Info) float64 { return s.Busy.Seconds() }},
	{"llmqat_engine_prompt_tokens_total", "counter", "Prompt tokens computed, again where a sequence was preempted.",
		func(s engine.Stats, _ engine.Info) float64 { return float64(s.PromptTokens) }},
	{"llmqat_engine_cached_tokens_total", "counter", "Prompt tokens found in the prefix cache.",
		func(s engine.Stats, _ engine.Info) float64 { return float64(s.CachedTokens) }},
	{"llmqat_engine_generated_tokens_total", "counter", "Tokens generated, as the steps make them.",
		func(s engine.Stats, _ engine.Info) float64 { return float64(s.GeneratedTokens) }},
	{"llmqat_engine_preemptions_total", "counter", "Sequences that gave up their pages to others.",
		func(s engine.Stats, _ engine.Info) float64 { return float64(s.Preempted) }},
	{"llmqat_engine_cancellations_total", "counter", "Sequences ended early: the client left, or a stop string was met.",
		func(s engine.Stats, _ engine.Info) float64 { return float64(s.Cancelled) }},
	{"llmqat_engine_failures_total", "counter", "Sequences that the device or a bug ended.",
		func(s engine.Stats, _ engine.Info) float64 { return float64(s.Failed) }},
	{"llmqat_engine_panics_total", "counter", "Bugs met in steps and survived.",
		func(s engine.Stats, _ engine.Info) float64 { return float64(s.Panics) }},
}

func (s *Server) metrics(ctx *fasthttp.RequestCtx) error {
	ctx.SetContentType("text/plain; version=0.0.4")
	s.writeMetrics(ctx)
	metrics.WriteProcessMetrics(ctx)
	return nil
}

func (s *Server) writeMetrics(w io.Writer) {
	s.counters.set.WritePrometheus(w)
	for _, h := range s.counters.histograms() {
		h.write(w)
	}
	header(w, "llmqat_build_info", "gauge", "1, with the version.")
	fmt.Fprintf(w, "llmqat_build_info{version=\"%s\",go=\"%s\"} 1\n", escapeLabel(s.options.Version), escapeLabel(runtime.Version()))
	ready := 1
	m, err := s.ready()
	if err != nil {
		ready = 0
	}
	header(w, "llmqat_ready", "gauge", "1 when a completion would be taken, as GET /ready says.")
	fmt.Fprintf(w, "llmqat_ready %d\n", ready)
	if m == nil {
		return
	}
	info, stats := m.Generator.Info(), m.Generator.Stats()
	header(w, "llmqat_model_info", "gauge", "1, with what is served.")
	fmt.Fprintf(w, "llmqat_model_info{model=\"%s\",bits=\"%v\",kv_scheme=\"%v\",device=\"%s\"} 1\n",
		escapeLabel(m.Name), info.Bits, info.KVScheme, escapeLabel(info.Device))
	for _, e := range engineMetrics {
		header(w, e.name, e.kind, e.help)
		fmt.Fprintf(w, "%s %g\n", e.name, e.value(stats, info))
	}
}
