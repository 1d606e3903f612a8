package load

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	line "github.com/llmqat/llmqat/internal/progress"
)

// progress tells how far a run has come: in one line on a terminal, else every ten seconds.
type progress struct {
	tokens, requests atomic.Int64 // of the present measurement
	end              func()
	begun            time.Time
	total            float64 // measurements

	mu   sync.Mutex
	what string
	done float64                              // measurements before this one
	part func(requests, tokens int64) float64 // of this one
	from time.Time
}

func newProgress(w io.Writer, measurements int) *progress {
	p := &progress{begun: time.Now(), total: float64(measurements), part: nothing}
	if w == nil {
		w = io.Discard
	}
	tell, end := line.Line(w, 10*time.Second)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(500 * time.Millisecond); ; {
			select {
			case <-tick.C:
				tell(p.text(time.Now()))
			case <-stop:
				tick.Stop()
				return
			}
		}
	}()
	p.end = func() { close(stop); <-stopped; end() }
	return p
}

func nothing(requests, tokens int64) float64 { return 0 }

func (p *progress) token()   { p.tokens.Add(1) }
func (p *progress) request() { p.requests.Add(1) }

// begin says what is measured from now on, after done measurements.
func (p *progress) begin(what string, done int, part func(requests, tokens int64) float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.done, p.part, p.from = what, float64(done), part, time.Now()
	p.tokens.Store(0)
	p.requests.Store(0)
}

func (p *progress) text(now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, tokens := p.requests.Load(), p.tokens.Load()
	done := (p.done + min(1, p.part(n, tokens))) / p.total
	s := fmt.Sprintf("%s: %d requests, %.1f tokens/s", p.what, n, ratio(float64(tokens), now.Sub(p.from).Seconds()))
	if done > 0 && done < 1 {
		left := time.Duration(float64(now.Sub(p.begun)) * (1 - done) / done)
		s += fmt.Sprintf("; %.0f %%, %v left", 100*done, left.Round(time.Second))
	}
	return s
}
