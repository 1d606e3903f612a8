package serve

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"
)

// counters are what GET /metrics shows, in Prometheus' text format.
type counters struct {
	set             *metrics.Set
	panics          *metrics.Counter // bugs met and survived
	clientsLeft     *metrics.Counter // requests cancelled because their client was gone
	promptTokens    *metrics.Counter
	generatedTokens *metrics.Counter
	running         *metrics.Gauge // completions under way
}

func newCounters() counters {
	set := metrics.NewSet()
	return counters{
		set:             set,
		panics:          set.NewCounter("llmqat_panics_total"),
		clientsLeft:     set.NewCounter("llmqat_clients_left_total"),
		promptTokens:    set.NewCounter("llmqat_prompt_tokens_total"),
		generatedTokens: set.NewCounter("llmqat_generated_tokens_total"),
		running:         set.NewGauge("llmqat_requests_running", nil),
	}
}

// answered counts a response by its status.
func (c *counters) answered(status int) {
	c.set.GetOrCreateCounter(fmt.Sprintf("llmqat_responses_total{code=\"%d\"}", status)).Inc()
}

func (s *Server) metrics(ctx *fasthttp.RequestCtx) error {
	ctx.SetContentType("text/plain; version=0.0.4")
	s.counters.set.WritePrometheus(ctx)
	metrics.WriteProcessMetrics(ctx)
	return nil
}
