package sched

import (
	"slices"

	"github.com/llmqat/llmqat/runtime/kvcache"
)

// Sequence is one request's tokens and its place in the cache.
type Sequence struct {
	ID        int64
	Tokens    []int32 // the prompt, then what was generated
	Prompt    int     // tokens of the prompt, at least 1
	MaxTokens int     // generated tokens at most; with 0 only the prompt is run
	EOS       []int32 // generation ends with any of these

	Priority int    // lower goes first
	Client   string // those of one priority get even shares
	Salt     string // shares pages with sequences of the same salt
	Logits   int    // so many of the prompt's last tokens are computed even where their K and V are there: their logits are wanted; the last one's always are

	Pages  []int32 // while it runs
	Shared int     // tokens of the prompt that were in the cache when it began

	cached    int  // tokens whose K and V are in Pages
	published int  // of them, those that others may share
	begun     bool // has run
	start     int64
	part      int           // tokens of the step that is being made
	keys      []kvcache.Key // of the first whole pages of Tokens, as far as they were asked for
}

// Generated returns the number of tokens after the prompt.
func (q *Sequence) Generated() int { return len(q.Tokens) - q.Prompt }

// Stopped reports whether the last token is one of EOS.
func (q *Sequence) Stopped() bool {
	return q.Generated() > 0 && slices.Contains(q.EOS, q.Tokens[len(q.Tokens)-1])
}

// Done reports whether q has all it may have. The last token's K and V are never computed.
func (q *Sequence) Done() bool {
	if q.MaxTokens == 0 {
		return q.cached == q.Prompt
	}
	return q.Generated() == q.MaxTokens || q.Stopped()
}

// shareable is how many of q's tokens it may have of others: none whose logits are wanted.
func (q *Sequence) shareable() int {
	if q.Logits > 0 {
		return q.Prompt - q.Logits
	}
	return len(q.Tokens) - 1
}

// decoding reports whether q is past its prompt and lacks its last token's K and V alone.
func (q *Sequence) decoding() bool { return q.cached >= q.Prompt && q.cached == len(q.Tokens)-1 }

func (q *Sequence) maxPages() int { return MaxPages(q.Prompt, q.MaxTokens) }

// key names the prefix of q's first n whole pages.
func (q *Sequence) key(n int) kvcache.Key {
	if len(q.keys) == 0 {
		q.keys = append(q.keys, kvcache.Root(q.Salt))
	}
	for i := len(q.keys); i <= n; i++ {
		q.keys = append(q.keys, q.keys[i-1].Next(q.Tokens[(i-1)*kvcache.PageTokens:i*kvcache.PageTokens]))
	}
	return q.keys[n]
}

// MaxPages is the number of KV pages that a sequence of prompt and at most
// maxTokens generated tokens comes to hold.
func MaxPages(prompt, maxTokens int) int { return kvcache.Count(prompt + max(maxTokens-1, 0)) }
