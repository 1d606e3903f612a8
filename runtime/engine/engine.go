// Package engine turns requests into tokens: one goroutine owns scheduler, cache
// and device, and runs all requests together, step by step.
package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/kvcache"
	"github.com/llmqat/llmqat/runtime/model"
)

// PageTokens is the number of tokens of a page of the KV cache.
const PageTokens = kvcache.PageTokens

// Options say how much an engine does at once. Zero values stand for the defaults.
type Options struct {
	Device         kernels.Device // required; the engine alone uses it until Close
	MaxContext     int            // tokens of prompt and answer: the model's
	MaxSeqs        int            // sequences run together: 32
	Budget         int            // tokens of a step: 512
	Chunk          int            // of them, tokens of prompts where answers wait for the step: 32 on a CPU, Budget on a GPU
	KVBytes        int64          // KV cache: MaxSeqs·min(MaxContext, 1024) tokens, at least MaxContext; on a GPU what is left, up to MaxSeqs·MaxContext
	MaxQueue       int            // requests that wait: 256
	MaxQueueTokens int64          // their tokens, prompts and up to 1024 of each answer: four times the cache's, at least
	MemoryBytes    int64          // that weights, cache and scratch may take: what the device has available
	Threads        int            // of the host that draw tokens: one a core

	// Progress, where it is not nil, is called while weights are copied to a device that
	// has memory of its own.
	Progress func(done, total int64)
}

// Info says what an engine runs and what it takes.
type Info struct {
	Device       string // as "cpu/avx2"
	Bits         quant.Bits
	KVScheme     quant.KVScheme
	Parameters   int64
	VocabSize    int
	MaxContext   int // tokens
	MaxSeqs      int
	Budget       int   // tokens of a step
	KVPages      int   // of PageTokens tokens
	WeightBytes  int64 // of the file, mapped where the device shares the host's memory
	KVBytes      int64
	ScratchBytes int64
}

// KVTokens is how many tokens' K and V the cache has room for.
func (i *Info) KVTokens() int { return i.KVPages * PageTokens }

// Bytes is what weights, cache and scratch take together.
func (i *Info) Bytes() int64 { return i.WeightBytes + i.KVBytes + i.ScratchBytes }

// Stats counts what an engine did and does.
type Stats struct {
	Waiting, Running int           // requests
	WaitingTokens    int64         // of those that wait: their prompts, and up to 1024 of each answer
	FreePages        int           // of Info.KVPages, that no request holds
	CachedPages      int           // of FreePages, that hold prefixes which a later request may share
	Steps            int64         // forward passes
	Busy             time.Duration // in them
	PromptTokens     int64         // computed, again where a request was preempted
	CachedTokens     int64         // of prompts, that did not need to be computed
	Preempted        int64         // requests that gave up their pages to others, to compute them again later
	GeneratedTokens  int64
	Cancelled        int64 // requests that ended by their context
	Failed           int64 // requests that ended by an error of the device or the engine
	Panics           int64
}

// forwarder is a model and its cache, as the loop uses them: model.Model's methods.
type forwarder interface {
	CopyPage(to, from int32)
	Forward(runs []model.Run, rows []int32, draws []kernels.Draw)
	Logits(yield func(i int, logits []float32)) error
	Drawn() []int32
	Sync() error
}

// Engine runs requests until it is closed.
type Engine struct {
	info Info
	o    Options
	eos  []int32

	mu           sync.Mutex
	closed       bool
	lost         error // ErrLost with its reason: every request's, from now on
	queued       int   // requests that no step has touched yet
	queuedTokens int64 // what they cost
	arrivals     chan *request

	drain, stop         chan struct{} // closed: no more requests come; end those that run
	drainOnce, stopOnce sync.Once
	done                chan struct{} // closed when the loop has ended

	stats atomic.Pointer[Stats] // as of the last step
}

// New loads the model in f, which must stay open until Close, allocates its cache
// and starts the loop. What does not fit in memory is refused with the sums.
func New(f *qat.File, o Options) (*Engine, error) {
	info, o, err := plan(f, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path(), err)
	}
	fw, err := load(f, &info, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Path(), err)
	}
	e, err := start(fw, info, o, ends(&f.Header().Config))
	if err != nil {
		fw.Close()
		return nil, fmt.Errorf("%s: %w", f.Path(), err)
	}
	return e, nil
}

// load takes the memory that was planned. A device with memory of its own takes there
// and then all that it ever will.
func load(f *qat.File, info *Info, o Options) (*loaded, error) {
	h := f.Header()
	l := &loaded{}
	var err error
	if l.Model, err = model.Load(o.Device, f, modelOptions(o)); err == nil {
		l.kv, err = kvcache.NewPool(o.Device, &h.Config, h.Quantization.KV(), info.KVPages)
	}
	if _, own := o.Device.(kernels.OwnMemory); own && err == nil {
		err = l.Warm(l.kv.Layers)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// ends lists the tokens that end an answer: EOS, and BOS, which begins another
// text and is how models trained on texts end to end say that one is over.
func ends(c *format.Config) (ids []int32) {
	for _, id := range append([]int{c.BOSTokenID}, c.EOSTokenIDs...) {
		if id >= 0 {
			ids = append(ids, int32(id))
		}
	}
	return ids
}

// loaded is a model with its cache.
type loaded struct {
	*model.Model
	kv *kvcache.Pool
}

func (l *loaded) Forward(runs []model.Run, rows []int32, draws []kernels.Draw) {
	l.Model.Forward(runs, rows, draws, l.kv.Layers)
}

func (l *loaded) CopyPage(to, from int32) { l.kv.CopyPage(to, from) }

func (l *loaded) Close() {
	if l.kv != nil {
		l.kv.Close()
	}
	if l.Model != nil {
		l.Model.Close()
	}
}

// start runs the loop over fw. info and o are complete.
func start(fw forwarder, info Info, o Options, eos []int32) (*Engine, error) {
	e := &Engine{
		info: info, o: o, eos: eos,
		arrivals: make(chan *request, o.MaxQueue),
		drain:    make(chan struct{}), stop: make(chan struct{}), done: make(chan struct{}),
	}
	e.stats.Store(&Stats{FreePages: info.KVPages})
	l, err := newLoop(e, fw)
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(e.done)
		l.run()
		if m, ok := fw.(interface{ Close() }); ok {
			m.Close()
		}
	}()
	return e, nil
}

// Info returns what the engine runs.
func (e *Engine) Info() Info { return e.info }

// Stats returns the counts as of the last step.
func (e *Engine) Stats() Stats {
	s := *e.stats.Load()
	e.mu.Lock()
	s.Waiting, s.WaitingTokens = e.queued, e.queuedTokens
	e.mu.Unlock()
	return s
}

// Err returns why no request can be answered any more, an ErrLost, or nil while they can.
func (e *Engine) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lost
}

// Drain refuses new requests, waits for those there are, and closes the engine;
// when ctx ends first, so do they, with ErrClosed.
func (e *Engine) Drain(ctx context.Context) {
	e.refuse()
	e.drainOnce.Do(func() { close(e.drain) })
	select {
	case <-e.done:
	case <-ctx.Done():
		e.Close()
	}
}

// Close ends all requests with ErrClosed, within one step, and frees the model.
// It may be called again.
func (e *Engine) Close() {
	e.refuse()
	e.stopOnce.Do(func() { close(e.stop) })
	<-e.done
}

func (e *Engine) refuse() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
}
