package serve

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"

	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/sample"
)

// Limits of one request.
const (
	maxN         = 16
	maxLogprobs  = 20
	maxStops     = 16
	maxStopBytes = 256
	maxLogitBias = 1024
	maxChoices   = 128 // prompts x best_of
	maxPriority  = 1000
	maxSaltBytes = 256
)

// request is what an API's body asks of the model, checked.
type request struct {
	api       *api
	prompts   []prompt
	n         int // choices of each prompt in the answer
	bestOf    int // choices of each prompt that are generated: n or more
	maxTokens int
	sampling  sample.Params
	seeded    bool // sampling.Seed was asked for: choice i of a prompt takes Seed+i
	stops     []string
	logprobs  int     // -1: none
	ends      []int32 // tokens that end an answer, beside the model's own
	ignoreEOS bool
	echo      bool

	priority  int // as engine.Request has them
	cacheSalt string

	stream       bool
	includeUsage bool
}

// prompt is what a choice goes on from.
type prompt struct {
	text  string  // as given, or what the ids decode to
	ids   []int32 // as the model gets them, at least one
	shown int     // ids[shown:] are the caller's: 1 where BOS was put before them
}

// parseRequest reads what all APIs have in common. What else they have is read from the fields it returns, and
// the prompts last, since they cost the most.
func parseRequest(a *api, body []byte, m *Model) (*request, *fields, *apiError) {
	members, err := parseObject(body)
	if err != nil {
		return nil, nil, invalid(400, "request body: %v", err)
	}
	f := &fields{members: members}
	r := &request{api: a}
	f.model(m)
	f.refuse()
	r.n = int(f.int("n", 1, 1, maxN))
	r.bestOf = r.n
	r.ignoreEOS = f.bool("ignore_eos")
	r.stops = f.stops()
	r.sampling = f.sampling(m)
	r.seeded = f.has("seed")
	r.priority = int(f.int("priority", 0, -maxPriority, maxPriority))
	if r.cacheSalt = f.string("cache_salt"); len(r.cacheSalt) > maxSaltBytes {
		f.fail("cache_salt", "cache_salt: want at most %d bytes, got %d", maxSaltBytes, len(r.cacheSalt))
	}
	_ = f.string("user") // of no use here
	r.stream = f.bool("stream")
	r.includeUsage = f.streamOptions(r.stream)
	return r, f, f.err
}

// engineRequest is what the model is asked for choice i of p, by a client.
func (r *request) engineRequest(p prompt, i int, client string) engine.Request {
	s := r.sampling
	if r.seeded {
		s.Seed += uint64(i)
	} else {
		s.Seed = rand.Uint64()
	}
	q := engine.Request{IDs: p.ids, MaxTokens: r.maxTokens, Sampling: s, Logprobs: r.logprobs, Ends: r.ends, IgnoreEOS: r.ignoreEOS,
		Priority: r.priority, Client: client, CacheSalt: r.cacheSalt}
	if r.echo && r.logprobs >= 0 {
		q.LogprobsFrom = 1
	}
	if r.bestOf > r.n {
		q.Logprobs = max(q.Logprobs, 0) // to choose by
	}
	return q
}

func (f *fields) sampling(m *Model) sample.Params {
	return sample.Params{
		Temperature:       f.float("temperature", 1, 0, 2),
		TopP:              max(1e-9, f.float("top_p", 1, 0, 1)),        // 0 leaves the most likely token, to the sampler it means all
		TopK:              int(max(0, f.int("top_k", 0, -1, 1<<31-1))), // -1, as vLLM has it, and 0: all
		MinP:              f.float("min_p", 0, 0, 1),
		PresencePenalty:   f.float("presence_penalty", 0, -2, 2),
		FrequencyPenalty:  f.float("frequency_penalty", 0, -2, 2),
		RepetitionPenalty: f.float("repetition_penalty", 1, 0.01, 100),
		LogitBias:         f.logitBias(m),
		Seed:              uint64(f.int("seed", 0, -1<<63, 1<<63-1)),
	}
}

func (f *fields) logitBias(m *Model) map[int32]float32 {
	members := f.object("logit_bias", maxLogitBias)
	if members == nil {
		return nil
	}
	bias := make(map[int32]float32, len(members))
	for key, value := range members {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || id < 0 || id >= int64(m.Tokenizer.VocabSize()) {
			f.fail("logit_bias", "logit_bias: want token ids in 0..%d, got %.30q", m.Tokenizer.VocabSize()-1, key)
			return nil
		}
		x, err := strconv.ParseFloat(string(value), 64)
		if !isNumber(value) || err != nil || x < -100 || x > 100 {
			f.fail("logit_bias", "logit_bias: token %d: want a number from -100 to 100, got %.30s", id, value)
			return nil
		}
		bias[int32(id)] = float32(x)
	}
	return bias
}

// stops reads "stop": a string or an array of them.
func (f *fields) stops() []string {
	v := f.raw("stop")
	if v == nil {
		return nil
	}
	var stops []string
	add := func(v json.RawMessage) bool {
		s, ok := asString(v)
		switch {
		case !ok:
			f.fail("stop", "stop: want a string or an array of strings, got %s", kindOf(v))
		case s == "" || len(s) > maxStopBytes:
			f.fail("stop", "stop: want strings of 1 to %d bytes, got one of %d", maxStopBytes, len(s))
		case len(stops) == maxStops:
			f.fail("stop", "stop: at most %d strings", maxStops)
		default:
			stops = append(stops, s)
			return true
		}
		return false
	}
	if !eachItem(v, add) {
		add(v)
	}
	return stops
}

// streamOptions reads stream_options and returns its include_usage.
func (f *fields) streamOptions(stream bool) bool {
	members := f.object("stream_options", maxMembers)
	if members == nil {
		return false
	}
	if !stream {
		f.fail("stream_options", "stream_options: only with stream: true")
		return false
	}
	inner := fields{members: members}
	include := inner.bool("include_usage")
	if inner.err != nil {
		f.fail("stream_options", "stream_options.%s", inner.err.message)
	}
	return include
}

// tooLong fails a request that the context cannot hold; prompt counts at least that many tokens. The names are
// those of the fields at fault.
func (f *fields) tooLong(m *Model, promptName string, prompt int, maxName string, maxTokens int) {
	param := promptName
	if prompt < m.MaxContext {
		param = maxName
	}
	f.failLong(param, "this model's context is %d tokens, the prompt has %d and %s asks for %d: shorten the prompt or ask for fewer",
		m.MaxContext, prompt, maxName, maxTokens)
}

func (f *fields) failLong(param, format string, args ...any) {
	if f.err == nil {
		f.fail(param, format, args...)
		f.err.code = contextExceeded
	}
}
