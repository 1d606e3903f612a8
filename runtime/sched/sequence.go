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
	Pages     []int32 // while it runs
	cached    int     // tokens whose K and V are in the cache
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

// decoding reports whether the whole prompt is in the cache.
func (q *Sequence) decoding() bool { return q.cached >= q.Prompt }

func (q *Sequence) maxCached() int { return q.Prompt + max(q.MaxTokens-1, 0) }
func (q *Sequence) maxPages() int  { return MaxPages(q.Prompt, q.MaxTokens) }

// MaxPages is the number of KV pages that a sequence of prompt and at most
// maxTokens generated tokens is given.
func MaxPages(prompt, maxTokens int) int { return kvcache.Count(prompt + max(maxTokens-1, 0)) }
