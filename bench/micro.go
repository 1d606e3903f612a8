package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/internal/progress"
)

// RunMicro measures the operators of o's shape one by one, each against the roofline:
// no operator is faster than its bytes can be read, nor than its multiplications can
// be done.
func RunMicro(ctx context.Context, o Options) (*MicroReport, error) {
	if err := o.fill([]int{512, 2048, 8192, 32768}, []int{1, 2, 4, 8, 16, 32, 64, 512}); err != nil {
		return nil, err
	}
	if o.Shape == "" {
		return nil, errors.New("single operators are measured of a --shape")
	}
	c, err := convert.Shape(o.Shape)
	if err != nil {
		return nil, err
	}
	columns, err := o.columns()
	if err != nil {
		return nil, err
	}
	rigs, end, err := o.newRigs()
	if err != nil {
		return nil, err
	}
	defer end()
	if err := o.fitsMicro(rigs, &c, columns); err != nil {
		return nil, err
	}
	list, err := o.sections(rigs, &c, columns, o.Log)
	if err != nil {
		return nil, err
	}
	if err := o.sampleMicro(ctx, list); err != nil {
		return nil, err
	}
	r := &MicroReport{About: o.about(o.Shape+", single operators", rigs)}
	for _, g := range rigs {
		r.Machine.Ceilings = append(r.Machine.Ceilings, g.median())
	}
	for _, s := range list {
		r.Sections = append(r.Sections, s.finish())
	}
	return r, nil
}

// section is operators of one kind in one format, measured one after another.
type section struct {
	Section
	rig       *rig
	operators []*operator
	ceilings  []Ceilings // beside each sample
}

// operator is one that is measured.
type operator struct {
	Operator
	run func(i int) error // does it for the i-th time, on memory that no cache holds any more
	n   int               // times done; on a GPU those of a burst

	weightBits int // 8, or whatever shares the int8 peak of 4

	sum []part // in place of run: earlier operators of the section that this one consists of
}

// part is an operator that is done n times.
type part struct {
	*operator
	n int
}

// sections lists what is measured. What several settings have in common, as linear
// layers where they differ in KV bits alone, is there once.
func (o *Options) sections(rigs []*rig, c *format.Config, columns []convert.Options, log io.Writer) (list []*section, err error) {
	quantizations := make([]qat.Quantization, len(columns))
	for i, opt := range columns {
		quantizations[i] = quantizationOf(opt)
	}
	all, err := o.newMicroMemory(rigs, c, quantizations, log)
	if err != nil {
		return nil, err
	}
	ends := slices.Compact([]int{slices.Min(o.Batches), slices.Max(o.Batches)})
	kinds := []struct {
		name      string
		format    func(q qat.Quantization) string
		operators func(m *microMemory, q qat.Quantization) ([]*operator, error)
	}{
		{linearKind, func(q qat.Quantization) string { return fmt.Sprintf("W%dA%d", q.Bits.W, q.Bits.A) },
			func(m *microMemory, q qat.Quantization) ([]*operator, error) { return m.linear(q, o.Batches) }},
		{"attention", kvFormat,
			func(m *microMemory, q qat.Quantization) ([]*operator, error) {
				return m.attention(q, o)
			}},
		{"rows", func(q qat.Quantization) string { return fmt.Sprintf("A%d", q.Bits.A) },
			func(m *microMemory, q qat.Quantization) ([]*operator, error) { return m.rows(q, ends) }},
		{"other", func(qat.Quantization) string { return "" },
			func(m *microMemory, q qat.Quantization) ([]*operator, error) { return m.other(ends) }},
	}
	for _, kind := range kinds {
		seen := map[string]bool{}
		for _, q := range quantizations {
			name := kind.format(q)
			if seen[name] {
				continue
			}
			seen[name] = true
			for _, g := range rigs {
				s := &section{Section: Section{Kind: kind.name, Format: name, Threads: g.threads}, rig: g}
				if s.operators, err = kind.operators(all.on(g), q); err != nil {
					return nil, err
				}
				list = append(list, s)
			}
		}
	}
	return list, nil
}

// quantizationOf returns the formats of a column.
func quantizationOf(opt convert.Options) qat.Quantization {
	q := qat.Quantization{Bits: opt.Bits, KVScheme: opt.KVScheme, Float: opt.Float, LMHeadBits: opt.LMHeadBits}
	if q.Float == "" {
		q.Float = qat.Float16
	}
	return q
}

// kvFormat names the format of a cache, and the bits of the queries that meet it.
func kvFormat(q qat.Quantization) string {
	kv := q.KV()
	name := fmt.Sprintf("KV%d", kv.Bits)
	if kv.Quantized() {
		name += " " + string(kv.Scheme)
	}
	return fmt.Sprintf("%s, Q%d", name, q.QueryBits())
}

// sampleMicro takes o.Repeats samples of every operator, with the ceilings measured
// before each section's.
func (o *Options) sampleMicro(ctx context.Context, list []*section) error {
	step, end := progress.Bar(o.Log, "measuring")
	defer end()
	for i := range o.Repeats {
		for j, s := range list {
			c, err := s.rig.peaks()
			if err != nil {
				return err
			}
			if c.ReadBandwidth, err = s.rig.bandwidth(); err != nil {
				return err
			}
			s.ceilings = append(s.ceilings, c)
			for _, op := range s.operators {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := op.sample(s.rig); err != nil {
					return fmt.Errorf("%s %s, %s: %w", s.Kind, s.Format, op.label(), err)
				}
			}
			step(int64(i*len(list)+j+1), int64(o.Repeats*len(list)))
		}
	}
	return nil
}

// leastMicro is the least that a sample of an operator lasts.
const leastMicro = 20 * time.Millisecond

// sample measures op once: the mean of as many runs as leastMicro holds.
func (op *operator) sample(g *rig) error {
	if op.sum != nil {
		total := 0.0
		for _, p := range op.sum {
			total += float64(p.n) * p.All[len(p.All)-1]
		}
		op.All = append(op.All, total)
		return nil
	}
	if g.threads == 0 {
		return op.sampleBursts(g.dev)
	}
	runs := func(n int) (time.Duration, error) {
		start := time.Now()
		for range n {
			if err := op.run(op.n); err != nil {
				return 0, err
			}
			op.n++
		}
		err := g.dev.Sync()
		return time.Since(start), err
	}
	n, cold := 1, op.n == 0
	took, err := runs(n) // wakes threads and pages; its time says how many make a sample
	for err == nil && took < leastMicro/8 {
		n *= 2
		took, err = runs(n)
	}
	if err == nil && (cold || took < leastMicro) {
		n = max(1, int(float64(n)*float64(leastMicro)/float64(took)))
		took, err = runs(n)
	}
	op.All = append(op.All, took.Seconds()/float64(n))
	return err
}
