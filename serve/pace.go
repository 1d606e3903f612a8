package serve

import (
	"math"
	"sync"
	"time"

	"github.com/llmqat/llmqat/runtime/engine"
)

// pace tells a refused client when to come back: after the tokens that wait, at the speed of late.
type pace struct {
	mu     sync.Mutex
	tokens int64         // as of the last measurement
	busy   time.Duration // the same
	speed  float64       // tokens a busy second; 0 while not known
}

const (
	paceWindow    = time.Second // busy time that a measurement takes
	maxRetryAfter = 60          // seconds
)

// retryAfter returns the seconds for Retry-After.
func (p *pace) retryAfter(s engine.Stats) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	tokens := s.PromptTokens + s.GeneratedTokens
	if d := s.Busy - p.busy; d >= paceWindow || p.speed == 0 && d > 0 {
		p.speed = float64(tokens-p.tokens) / d.Seconds()
		p.tokens, p.busy = tokens, s.Busy
	}
	if p.speed <= 0 {
		return 1
	}
	return int(min(maxRetryAfter, max(1, math.Ceil(float64(s.WaitingTokens)/p.speed))))
}
