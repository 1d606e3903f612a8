package train

import (
	"fmt"
	"math"

	"github.com/llmqat/llmqat/train/nn"
)

// Server runs a .qat file by the operators that serve it, over windows in their order.
type Server interface {
	// Next sets dst [n, vocab] to the logits that follow the next n tokens.
	Next(dst []float32) error
	// Sum returns the SHA-256 of all logits so far.
	Sum() string
	Close() error
}

// Served is how a .qat file did on held-out text, run by the operators that serve it:
// means per token.
type Served struct {
	KL         float64 `json:"kl"` // nats
	CE         float64 `json:"ce"`
	Perplexity float64 `json:"ppl"`
	Agreement  float64 `json:"top1"`   // with the teacher, part of the tokens
	Logits     string  `json:"logits"` // SHA-256 of all logits
	Apart      *Apart  `json:"apart,omitempty"`
}

// Apart is how far the forward that is trained is from what is served, token by token.
type Apart struct {
	KL         float64 `json:"kl"`   // KL(served ‖ trained), nats
	Agreement  float64 `json:"top1"` // part of the tokens with one likeliest token
	Perplexity float64 `json:"ppl"`  // served, as a part of trained
}

// What is rounded alike differs by the order of float sums, which tips a rounding here
// and there, and by the embedding and lm_head in 16 bits. From 4 bits of KV cache on that
// is more than wanted, for what one tipped rounding changes tips others behind it; it has
// no direction, though, so that perplexities stay near each other.
const (
	nearKL         = 2e-3
	nearAgreement  = 0.98
	nearPerplexity = 0.002 // from 1
	farPerplexity  = 0.25  // the same
)

// Near reports whether what is served is as near as wanted to what is trained.
func (a *Apart) Near() bool {
	return a.KL <= nearKL && a.Agreement >= nearAgreement && math.Abs(a.Perplexity-1) <= nearPerplexity
}

// Far reports whether it is so far that something else is computed.
func (a *Apart) Far() bool { return !(math.Abs(a.Perplexity-1) <= farPerplexity) }

func (a *Apart) String() string {
	return fmt.Sprintf("apart from the trained forward by a KL of %.2g nats a token, %+.2f %% of perplexity, %.1f %% same likeliest token", a.KL, 100*(a.Perplexity-1), 100*a.Agreement)
}

func newServed(s nn.ServedStats, logits string) *Served {
	n := float64(max(s.Served.Tokens, 1))
	v := &Served{KL: s.Served.KL / n, CE: s.Served.CE / n, Agreement: s.Served.Same / n, Logits: logits}
	v.Perplexity = math.Exp(v.CE)
	v.Apart = &Apart{KL: s.Apart.KL / n, Agreement: s.Apart.Same / n, Perplexity: math.Exp((s.Apart.TeacherCE - s.Apart.CE) / n)}
	return v
}

func (s *Served) clamp() {
	if s == nil {
		return
	}
	list := []*float64{&s.KL, &s.CE, &s.Perplexity}
	if s.Apart != nil {
		list = append(list, &s.Apart.KL, &s.Apart.Perplexity)
	}
	clamp(list...)
}
