package bench

import (
	"fmt"
	"time"

	"github.com/llmqat/llmqat/kernels"
)

// profiler is a device that times every operator while on: by its kernels where the
// device tells their times, else from its call to its end.
type profiler struct {
	kernels.Device
	on      bool
	trace   func(yield func(kernel string, took time.Duration)) // nil: the device knows no kernels
	rows    []*profileRow                                       // of the pass, in order of first appearance
	now     *profileRow
	err     error  // the first of the Syncs behind operators
	reading [3]int // the pass's sequences, tokens of each, and length of each
}

// drawingProfiler is one around a device that draws tokens.
type drawingProfiler struct{ *profiler }

func newProfiler(dev kernels.Device) (p *profiler, runs kernels.Device) {
	p = &profiler{Device: dev}
	if d, ok := dev.(interface {
		Trace(func(string, time.Duration))
	}); ok {
		p.trace = d.Trace
	}
	if _, ok := dev.(kernels.Drawer); ok {
		return p, drawingProfiler{p}
	}
	return p, p
}

// start begins a pass whose operators are timed, stop ends it and returns them.
func (p *profiler) start() {
	p.rows, p.on = nil, true
	if p.trace != nil {
		p.trace(func(kernel string, took time.Duration) {
			if p.now == nil { // of no operator that is timed here
				p.now = p.row(Operator{Name: "other"}, 0)
			}
			p.now.add(kernel, took)
		})
	}
}

func (p *profiler) stop() []*profileRow {
	if p.on = false; p.trace != nil {
		p.trace(nil)
	}
	return p.rows
}

// Sync returns what a Sync behind an operator has returned already.
func (p *profiler) Sync() error {
	err := p.err
	if p.err = nil; err != nil {
		p.Device.Sync()
		return err
	}
	return p.Device.Sync()
}

// time runs an operator, and adds it and its time to its row.
func (p *profiler) time(op Operator, weightBits int, run func()) {
	if !p.on {
		run()
		return
	}
	p.now = p.row(op, weightBits)
	defer func() { p.now = nil }()
	p.now.Calls++
	p.now.Bytes, p.now.IntMACs, p.now.FloatMACs = p.now.Bytes+op.Bytes, p.now.IntMACs+op.IntMACs, p.now.FloatMACs+op.FloatMACs
	if p.trace == nil {
		start := time.Now()
		run()
		p.now.add("", time.Since(start))
		return
	}
	run()
	if err := p.Device.Sync(); p.err == nil {
		p.err = err
	}
}

// row returns the row of what op is called.
func (p *profiler) row(op Operator, weightBits int) *profileRow {
	for _, r := range p.rows {
		if r.label() == op.label() {
			return r
		}
	}
	op.Bytes, op.IntMACs, op.FloatMACs = 0, 0, 0
	r := &profileRow{operator: operator{Operator: op, weightBits: weightBits}}
	p.rows = append(p.rows, r)
	return r
}

func (p *profiler) Embed(out kernels.Floats, table kernels.Weight, ids kernels.Buf[int32]) {
	bytes := floatBytes(out) + int64(out.Rows*table.Type.RowBytes(table.In))
	p.time(Operator{Name: "embedding", Tokens: out.Rows, Bytes: bytes}, 0, func() { p.Device.Embed(out, table, ids) })
}

func (p *profiler) RMSNorm(out kernels.Rows, x kernels.Floats, weight kernels.Buf[float32], eps float32) {
	op := Operator{Name: "RMSNorm", Tokens: x.Rows, Bytes: floatBytes(x) + 4*int64(weight.N) + rowBytes(out)}
	p.time(op, 0, func() { p.Device.RMSNorm(out, x, weight, eps) })
}

func (p *profiler) Quantize(out kernels.Rows, x kernels.Floats) {
	p.time(Operator{Name: "quantize", Tokens: x.Rows, Bytes: floatBytes(x) + rowBytes(out)}, 0, func() { p.Device.Quantize(out, x) })
}

func (p *profiler) Linear(out kernels.Floats, x kernels.Rows, w ...kernels.Weight) {
	op, bits := linearOperator(out, x, w)
	p.time(op, bits, func() { p.Device.Linear(out, x, w...) })
}

func (p *profiler) LinearAdd(out kernels.Floats, x kernels.Rows, w kernels.Weight) {
	op, bits := linearOperator(out, x, []kernels.Weight{w})
	op.Bytes += floatBytes(out)
	p.time(op, bits, func() { p.Device.LinearAdd(out, x, w) })
}

// linearOperator describes x · wᵀ. Its name has what layers differ in.
func linearOperator(out kernels.Floats, x kernels.Rows, w []kernels.Weight) (op Operator, weightBits int) {
	op.Bytes = rowBytes(x) + floatBytes(out)
	for i := range w {
		op.Bytes += int64(w[i].Data.N) + 4*int64(w[i].Scale.N)
	}
	macs := int64(x.N) * int64(x.Cols) * int64(out.Cols)
	if op.FloatMACs = macs; x.Bits < 16 {
		op.IntMACs, op.FloatMACs = macs, 0
	}
	if w[0].Type == kernels.Int8 {
		weightBits = 8
	}
	op.Tokens, op.Name = x.N, fmt.Sprintf("linear %v %d to %d", w[0].Type, x.Cols, out.Cols)
	return op, weightBits
}

func (p *profiler) RoPEAppendKV(q kernels.Rows, kv kernels.KVCache, qkv kernels.Floats, b *kernels.Batch, rope kernels.RoPE) {
	op := Operator{Name: "RoPE and append", Tokens: b.T, Bytes: floatBytes(qkv) + rowBytes(q) + int64(b.T*kv.TokenBytes(kv.KVHeads, kv.HeadDim))}
	p.time(op, 0, func() { p.Device.RoPEAppendKV(q, kv, qkv, b, rope) })
}

func (p *profiler) PagedAttention(out kernels.Floats, q kernels.Rows, kv kernels.KVCache, b *kernels.Batch, rope kernels.RoPE) {
	op := Operator{Name: "attention", Tokens: b.T, Context: p.reading[2]}
	if p.on {
		op.attention(q, kv, p.reading[0], p.reading[1], p.reading[2])
	}
	p.time(op, 0, func() { p.Device.PagedAttention(out, q, kv, b, rope) })
}

func (p *profiler) SwiGLU(out kernels.Rows, gateUp kernels.Floats) {
	op := Operator{Name: "SwiGLU", Tokens: gateUp.Rows, Bytes: floatBytes(gateUp) + rowBytes(out)}
	p.time(op, 0, func() { p.Device.SwiGLU(out, gateUp) })
}

func (p *profiler) Gather(out, x kernels.Floats, rows kernels.Buf[int32]) {
	p.time(Operator{Name: "gather", Tokens: out.Rows, Bytes: 2 * floatBytes(out)}, 0, func() { p.Device.Gather(out, x, rows) })
}

func (p drawingProfiler) Draw(ids kernels.Buf[int32], logits kernels.Floats, draws kernels.Buf[int32]) {
	op := Operator{Name: "draw", Tokens: logits.Rows, Bytes: floatBytes(logits)}
	p.time(op, 0, func() { p.Device.(kernels.Drawer).Draw(ids, logits, draws) })
}
