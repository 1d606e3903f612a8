package bench

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/runtime/kvcache"
	"github.com/llmqat/llmqat/runtime/model"
)

// passTokens is the size of the passes that a prompt is cut in, the server's own.
const passTokens = 512

// subject is a loaded model under measurement, with pages for each sequence.
type subject struct {
	file   *qat.File
	model  *model.Model
	pool   *kvcache.Pool
	pages  [][]int32 // of each sequence
	rng    *rand.Rand
	result Result
	// samples by prompt and by point
	prefill, decode []samples
}

// samples are speeds, and their shares of the ceilings beside them.
type samples struct{ perSec, shares []float64 }

func (s *samples) add(perSec, share float64) {
	s.perSec, s.shares = append(s.perSec, perSec), append(s.shares, share)
}

// ceilings are the machine's, measured beside a sample.
type ceilings struct{ read, int8, float32 float64 }

func load(dev *cpu.Device, f file, o *Options) (*subject, error) {
	q, err := qat.Open(f.path)
	if err != nil {
		return nil, err
	}
	h := q.Header()
	s := &subject{
		file: q, rng: rand.New(rand.NewPCG(1, 2)), result: describeModel(f.name, q),
		prefill: make([]samples, len(o.Prompts)), decode: make([]samples, len(o.decodes())),
	}
	seqs := slices.Max(o.Batches)
	if s.model, err = model.Load(dev, q, model.Options{MaxTokens: passTokens, MaxSeqs: seqs, MaxContext: o.longest()}); err != nil {
		q.Close()
		return nil, err
	}
	n := kvcache.Count(o.longest())
	if s.pool, err = kvcache.NewPool(dev, &h.Config, h.Quantization.KV(), seqs*n); err != nil {
		s.close()
		return nil, err
	}
	for i := range seqs {
		s.pages = append(s.pages, nil)
		for p := range n {
			s.pages[i] = append(s.pages[i], int32(i*n+p))
		}
	}
	for _, c := range s.pool.Layers {
		s.noise(dev, c)
	}
	return s, nil
}

func (s *subject) close() {
	s.model.Close()
	s.file.Close()
}

// noise fills a cache as if a long context had been read: decode at depth needs no
// prefill of that depth, and pages never written would all be one page of zeros.
// The values are those that a cache may hold, floats of ordinary size: subnormal
// ones are slow on some processors.
func (s *subject) noise(dev kernels.Memory, c kernels.KVCache) {
	b := make([]byte, c.K.N)
	switch c.Bits {
	case 32:
		for i := 0; i < len(b); i += 4 {
			binary.LittleEndian.PutUint32(b[i:], math.Float32bits(s.rng.Float32()-0.5))
		}
	case 16:
		for i := 0; i < len(b); i += 2 {
			binary.LittleEndian.PutUint16(b[i:], quant.Float16(s.rng.Float32()-0.5))
		}
	case 8:
		for i := range b {
			b[i] = byte(int8(s.rng.IntN(255) - 127))
		}
	default:
		for i := range b {
			b[i] = byte(s.rng.Uint32())
		}
	}
	kernels.Upload(dev, c.K, b)
	kernels.Upload(dev, c.V, b)
	scales := slices.Repeat([]uint16{quant.Float16(0.01)}, c.KScale.N)
	kernels.Upload(dev, c.KScale, scales)
	kernels.Upload(dev, c.VScale, scales)
	if c.HasZero() {
		zeros := slices.Repeat([]uint16{quant.Float16(-0.08)}, c.KZero.N)
		kernels.Upload(dev, c.KZero, zeros)
		kernels.Upload(dev, c.VZero, zeros)
	}
}

// describeModel counts what a model's file says of its bytes and products.
func describeModel(name string, f *qat.File) Result {
	h := f.Header()
	c, q := &h.Config, h.Quantization
	r := Result{Name: name, FileBytes: int64(len(f.Bytes())), IntegerMatmul: q.Bits.A <= 8,
		KVTokenBytes: int64(c.NumHiddenLayers) * int64(q.KV().TokenBytes(c.NumKeyValueHeads, c.HeadDim))}
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
		if t.Linear {
			r.MACs += int64(t.Out) * int64(t.In)
		}
	}
	return r
}

// sample measures every prompt and every point once.
func (s *subject) sample(o *Options, c ceilings) error {
	peak := c.float32
	if s.result.IntegerMatmul {
		peak = c.int8
	}
	for i, n := range o.Prompts {
		perSec, err := s.speed(n, 0, 1, passTokens)
		if err != nil {
			return err
		}
		s.prefill[i].add(perSec, perSec*float64(s.result.MACs)/peak)
	}
	for i, p := range o.decodes() {
		perSec, err := s.speed(o.Decode, p.context, p.batch, 1)
		if err != nil {
			return err
		}
		depth := int64(p.context) + int64(o.Decode)/2
		bytes := s.result.WeightBytes + int64(p.batch)*depth*s.result.KVTokenBytes // of a step
		s.decode[i].add(perSec, perSec/float64(p.batch)*float64(bytes)/c.read)
	}
	return nil
}

// leastSample is the least that a sample lasts: what happens in a few milliseconds
// is chance.
const leastSample = 50 * time.Millisecond

// speed returns the tokens per second, of all sequences, of run, repeated while a
// sample is short.
func (s *subject) speed(n, at, seqs, pass int) (float64, error) {
	if _, err := s.run(1, at, seqs, 1); err != nil { // wakes threads, pages and caches
		return 0, err
	}
	tokens := 0
	took := time.Duration(0)
	for took < leastSample {
		d, err := s.run(n, at, seqs, pass)
		if err != nil {
			return 0, err
		}
		tokens, took = tokens+n*seqs, took+d
	}
	return float64(tokens) / took.Seconds(), nil
}

// run computes n tokens of each of seqs sequences from position at, pass tokens of
// each at a time, with logits of each one's last, and returns the time it took.
func (s *subject) run(n, at, seqs, pass int) (time.Duration, error) {
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = int32(s.rng.IntN(s.file.Header().Config.VocabSize))
	}
	runs, rows := make([]model.Run, seqs), make([]int32, seqs)
	start := time.Now()
	for len(tokens) > 0 {
		t := tokens[:min(pass, len(tokens))]
		for i := range runs {
			runs[i] = model.Run{Tokens: t, Position: at, Pages: s.pages[i]}
			rows[i] = int32((i+1)*len(t) - 1)
		}
		s.model.Forward(runs, s.pool.Layers)
		if err := s.model.Logits(rows, func(int, []float32) {}); err != nil {
			return 0, err
		}
		tokens, at = tokens[len(t):], at+len(t)
	}
	return time.Since(start), nil
}

// finish turns samples into medians.
func (s *subject) finish(o *Options) Result {
	for i, n := range o.Prompts {
		s.result.Prefill = append(s.result.Prefill, newRate(n, 1, s.prefill[i]))
	}
	for i, p := range o.decodes() {
		s.result.Decode = append(s.result.Decode, newRate(p.context, p.batch, s.decode[i]))
	}
	return s.result
}
