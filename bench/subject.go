package bench

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/kvcache"
	"github.com/llmqat/llmqat/runtime/model"
)

// subject is a loaded model under measurement, with pages for each sequence.
type subject struct {
	file    *qat.File
	models  []*model.Model // for each number of threads
	rigs    []*rig
	pool    *kvcache.Pool // of all of them: a processor's memory is one
	pages   [][]int32     // of each sequence
	rng     *rand.Rand
	energy  *meter
	points  []point
	samples []samples // of each point
	result  Result

	watch func(seqs, n, length int) // nil, or called before each pass: n tokens of seqs sequences of length with them
}

// samples are speeds, their shares of the ceilings beside them, and joules a token,
// where a meter reads them.
type samples struct{ perSec, shares, joules []float64 }

func load(rigs []*rig, f file, o *Options) (*subject, error) {
	q, err := qat.Open(f.path)
	if err != nil {
		return nil, err
	}
	h := q.Header()
	s := &subject{file: q, rigs: rigs, rng: rand.New(rand.NewPCG(1, 2)), result: describeModel(f.name, q), points: o.points()}
	s.samples = make([]samples, len(s.points))
	for _, g := range rigs {
		m, err := model.Load(g.runs, q, o.modelOptions())
		if err != nil {
			s.close()
			return nil, err
		}
		s.models = append(s.models, m)
	}
	dev := rigs[0].dev
	next := int32(0)
	for _, n := range o.pages() {
		var list []int32
		for range n {
			list, next = append(list, next), next+1
		}
		s.pages = append(s.pages, list)
	}
	if s.pool, err = kvcache.NewPool(dev, &h.Config, h.Quantization.KV(), int(next)); err != nil {
		s.close()
		return nil, err
	}
	for _, c := range s.pool.Layers {
		fillKV(dev, c, s.rng)
	}
	return s, nil
}

func (s *subject) close() {
	for _, m := range s.models {
		m.Close()
	}
	s.file.Close()
}

// describeModel counts what a model's file says of its bytes and products.
func describeModel(name string, f *qat.File) Result {
	h := f.Header()
	c, q := &h.Config, h.Quantization
	r := Result{Name: name, FileBytes: int64(len(f.Bytes())), IntegerMatmul: q.Bits.A <= 8,
		KVTokenBytes: int64(h.KVTokenBytes())}
	if q.KV().Quantized() {
		r.KVScheme = string(q.KVScheme)
	}
	_, ownHead := f.Tensor(format.LMHeadName)
	for _, t := range f.Tensors() {
		if t.Kind() == qat.Tokenizer || t.Name == format.EmbedName && ownHead {
			continue // of the embedding one row is read
		}
		r.WeightBytes += t.Size
	}
	for _, t := range c.Tensors() {
		if t.Linear && !lastOnly(t.Name, c) {
			r.MACs += int64(t.Out) * int64(t.In)
		}
	}
	return r
}

// lastOnly tells the weights that only a prompt's last token meets: those of the last
// layer behind its attention.
func lastOnly(tensor string, c *format.Config) bool {
	last := c.NumHiddenLayers - 1
	return strings.HasPrefix(tensor, format.LayerName(last, "mlp.")) || strings.HasPrefix(tensor, format.LayerName(last, "self_attn.o_proj."))
}

// sample measures once every point of a number of threads.
func (s *subject) sample(ctx context.Context, o *Options, rig int, c Ceilings) error {
	peak := c.float()
	if s.result.IntegerMatmul {
		peak = c.int8(s.file.Header().Quantization.Bits.W)
	}
	for i, p := range s.points {
		if p.rig != rig {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		n, at, pass := o.Decode, p.tokens, 1
		if p.prompt {
			n, at, pass = p.tokens, 0, o.Pass
		}
		perSec, joules, err := s.speed(rig, n, at, p.batch, pass)
		if err != nil {
			return err
		}
		share := perSec * float64(s.result.MACs) / peak
		if !p.prompt {
			share = perSec * s.bytes(p, o) / c.ReadBandwidth
		}
		v := &s.samples[i]
		v.perSec, v.shares = append(v.perSec, perSec), append(v.shares, share)
		if joules > 0 {
			v.joules = append(v.joules, joules)
		}
	}
	return nil
}

// bytes is what is read for each token of a decode: a step's weights and contexts, shared
// by its sequences.
func (s *subject) bytes(p point, o *Options) float64 {
	depth := int64(p.tokens) + int64(o.Decode)/2
	return float64(s.result.WeightBytes+int64(p.batch)*depth*s.result.KVTokenBytes) / float64(p.batch)
}

// leastSample is the least that a sample lasts: what happens in a few milliseconds
// is chance.
const leastSample = 50 * time.Millisecond

// speed returns the tokens per second, of all sequences, of run, repeated while a
// sample is short, and the joules of each, 0 where no meter reads them.
func (s *subject) speed(rig, n, at, seqs, pass int) (perSec, joules float64, err error) {
	m := s.models[rig]
	if err := s.warm(rig, n, at, seqs, pass); err != nil {
		return 0, 0, err
	}
	tokens := 0
	took := time.Duration(0)
	s.energy.lap()
	for took < leastSample {
		d, err := s.run(m, n, at, seqs, pass)
		if err != nil {
			return 0, 0, err
		}
		tokens, took = tokens+n*seqs, took+d
	}
	joules, _ = s.energy.lap()
	return float64(tokens) / took.Seconds(), joules / float64(tokens), nil
}

// warm wakes threads, pages and caches. A GPU loads kernels when they are first wanted, and
// makes a graph of a step that comes again: the third time it has all that it will have.
func (s *subject) warm(rig, n, at, seqs, pass int) error {
	times := 3
	if s.rigs[rig].threads > 0 {
		n, pass, times = 1, 1, 1
	}
	if pass == 1 {
		n = 1
	}
	for range times {
		if _, err := s.run(s.models[rig], n, at, seqs, pass); err != nil {
			return err
		}
	}
	return nil
}

// greedy is how a device that draws tokens does so: as one that serves.
var greedy = kernels.Draw{Scale: 1, TopK: 1}

// run computes n tokens of each of seqs sequences from position at, pass tokens of
// each at a time, with logits of each one's last, or its token where the device draws
// it, and returns the time it took.
func (s *subject) run(m *model.Model, n, at, seqs, pass int) (time.Duration, error) {
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = int32(s.rng.IntN(s.file.Header().Config.VocabSize))
	}
	runs, rows, draws := make([]model.Run, seqs), make([]int32, seqs), slices.Repeat([]kernels.Draw{greedy}, seqs)
	start := time.Now()
	for len(tokens) > 0 {
		t := tokens[:min(pass, len(tokens))]
		for i := range runs {
			runs[i] = model.Run{Tokens: t, Position: at, Pages: s.pages[i]}
			rows[i] = int32((i+1)*len(t) - 1)
		}
		if s.watch != nil {
			s.watch(seqs, len(t), at+len(t))
		}
		m.Forward(runs, rows, draws, s.pool.Layers)
		if err := m.Logits(func(int, []float32) {}); err != nil {
			return 0, err
		}
		tokens, at = tokens[len(t):], at+len(t)
	}
	return time.Since(start), nil
}

// finish turns samples into medians.
func (s *subject) finish(o *Options, rigs []*rig) Result {
	for i, p := range s.points {
		r := newRate(p, rigs[p.rig].threads, s.samples[i])
		switch gpu := r.Threads == 0; {
		case gpu && p.prompt:
			r.MACRate = r.PerSec * float64(s.result.MACs)
		case gpu:
			r.ByteRate = r.PerSec * s.bytes(p, o)
		}
		if p.prompt {
			s.result.Prefill = append(s.result.Prefill, r)
		} else {
			s.result.Decode = append(s.result.Decode, r)
		}
	}
	return s.result
}
