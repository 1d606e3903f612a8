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

// Exact reports whether what is served is what is trained: then logits are equal by ==,
// and all three come out exactly. Only a Config's Compat, which trains what nothing serves,
// is apart.
func (a *Apart) Exact() bool { return *a == Apart{KL: 0, Agreement: 1, Perplexity: 1} }

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
