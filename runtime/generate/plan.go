// Package generate makes the data that LLM-QAT trains on (arXiv:2305.17888): texts that
// the float teacher itself makes up, each begun with another token of the vocabulary.
// Where real text is wanted it cuts that to the same form.
//
// Sample i of a data set is a function of i and the set's parameters: on CPUs the same
// ids come from every machine, batch and number of threads, before and after a restart.
package generate

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/format/tokens"
)

// Options say which data to make of a teacher.
type Options struct {
	Shard, Shards int   // which of how many
	Samples       int64 // of all shards; 0: what there is, see NewPlan and ReadText
	MaxTokens     int   // of a sample; 0: 2048, or the model's context where that is less
	BOS           *bool // begin samples with BOS; nil: as the tokenizer says, or the model has one

	// Of samples drawn from the teacher, none with a default.
	FromBOS     bool  // they begin with BOS alone: no start token
	Greedy      []int // numbers of tokens after the start token that are the likeliest, in turn
	Temperature float64
	TopK        int
	Seed        uint64
}

// defaultTokens is the paper's length.
const defaultTokens = 2048

// header returns what both methods say in a shard's header.
func (o *Options) header(t *Teacher, method string) (h tokens.Header, err error) {
	h = tokens.Header{Method: method, Teacher: t.Name, TeacherSHA256: t.SHA256, VocabSize: t.Config.VocabSize, BOS: -1,
		MaxTokens: o.MaxTokens, Samples: o.Samples, Shard: o.Shard, Shards: o.Shards}
	context := t.Config.MaxPositionEmbeddings
	if h.MaxTokens == 0 {
		h.MaxTokens = min(defaultTokens, context)
	}
	if h.MaxTokens < 2 || h.MaxTokens > context {
		return h, fmt.Errorf("samples of %d tokens, want 2 to %d, the model's context", h.MaxTokens, context)
	}
	bos, adds := t.Config.BOSTokenID, t.Config.BOSTokenID >= 0
	if t.Tokenizer != nil {
		bos, adds = int(t.Tokenizer.BOS()), t.Tokenizer.AddBOS()
	}
	if o.BOS != nil {
		adds = *o.BOS
	}
	if adds {
		if bos < 0 {
			return h, fmt.Errorf("the model has no BOS token to begin samples with: leave --bos out, or give a tokenizer that has one")
		}
		h.BOS = int32(bos)
	}
	return h, nil
}

// BeginsWithBOS reports whether t's samples begin with BOS where options don't say.
func (t *Teacher) BeginsWithBOS() bool {
	h, err := (&Options{}).header(t, tokens.MethodGenerate)
	return err == nil && h.BOS >= 0
}

// Plan says what each sample of a data set begins with and how it is drawn.
type Plan struct {
	Header tokens.Header
	starts []int32 // in the order in which samples have them
}

// NewPlan returns the plan of samples drawn from t. By default there is one for each
// start token and greedy length, as in the paper: some 96,000 for LLaMA. With
// o.FromBOS all samples have BOS as their start token, and none before it.
func NewPlan(t *Teacher, o Options) (*Plan, error) {
	h, err := o.header(t, tokens.MethodGenerate)
	if err != nil {
		return nil, err
	}
	starts := startTokens(t.Config, t.Tokenizer)
	switch {
	case o.FromBOS && h.BOS < 0:
		return nil, fmt.Errorf("samples begin without BOS, and nothing else is there to begin with: leave --from-bos out, or insist on --bos")
	case o.FromBOS && h.Samples == 0:
		return nil, fmt.Errorf("samples from BOS alone have no natural number: say how many by --samples")
	case o.FromBOS: // which is the start token of all
		starts, h.BOS = []int32{h.BOS}, -1
	}
	if len(starts) == 0 {
		return nil, fmt.Errorf("none of the %d tokens of the vocabulary can begin a text", h.VocabSize)
	}
	if h.Samples == 0 {
		h.Samples = int64(len(starts) * len(o.Greedy))
	}
	h.Sampling = &tokens.Sampling{Starts: len(starts), Greedy: o.Greedy, Temperature: o.Temperature, TopK: o.TopK, Seed: o.Seed}
	return &Plan{h, spread(starts)}, nil
}

// startTokens lists the tokens that samples begin with: all that a text can have. A
// control token, UNK, BOS and EOS are none of those, nor are ids that pad the model's
// vocabulary and that the tokenizer does not know. Bytes are: the ids are never text.
func startTokens(c *format.Config, tok *tokenizer.Tokenizer) (list []int32) {
	not := map[int32]bool{int32(c.BOSTokenID): true}
	for _, id := range c.EOSTokenIDs {
		not[int32(id)] = true
	}
	n := c.VocabSize
	if tok != nil {
		n = min(n, tok.VocabSize())
	}
	for id := range int32(n) {
		if !not[id] && (tok == nil || !tok.IsSpecial(id)) {
			list = append(list, id)
		}
	}
	return list
}

// spread puts list in an order of which every beginning is spread evenly over list.
// Multiples of the golden section, modulo 1, are such an order of the numbers from 0 to
// 1: each falls into one of the longest gaps that those before it left.
func spread(list []int32) []int32 {
	const golden = 0x9e3779b97f4a7c15 // of 2⁶⁴
	rank := make([]int, len(list))
	for k := range rank {
		rank[k] = k
	}
	slices.SortFunc(rank, func(a, b int) int { return cmp.Compare(uint64(a)*golden, uint64(b)*golden) })
	order := make([]int32, len(list))
	for r, k := range rank {
		order[k] = list[r]
	}
	return order
}

// At returns with which token sample i begins, how many likeliest tokens follow, and
// the seed of the draws after those. Every len(starts) samples begin with every start
// token once; the next time each has the next greedy length.
func (p *Plan) At(i int64) (start int32, greedy int, seed uint64) {
	n := int64(len(p.starts))
	pass, k := i/n, i%n
	lengths := p.Header.Sampling.Greedy
	return p.starts[k], lengths[(k+pass)%int64(len(lengths))], rand.NewPCG(p.Header.Sampling.Seed, uint64(i)).Uint64()
}
