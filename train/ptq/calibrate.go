package ptq

import (
	"context"
	"fmt"
	"strings"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/nn"
)

// Calibration is what methods look at that want to see activations. The device holds
// one layer of the model and a pass over passTokens tokens, the host the hidden states
// of all tokens: 4.3 GB for 128 sequences of 2,048 and LLaMA-7B.
type Calibration struct {
	Device   kernels.TrainDevice
	Tokens   [][]int32
	Progress func(method string, layer, layers int) // if not nil, called after each layer
}

// passTokens is about how many tokens a pass takes: enough for products to be fast.
const passTokens = 2048

// check returns an error that names the first sequence that the model cannot read.
func (c *Calibration) check(m *format.Config) error {
	if c == nil || len(c.Tokens) == 0 {
		return fmt.Errorf("calibration: no tokens: give some, of llmqat-train generate say")
	}
	for i, s := range c.Tokens {
		if len(s) < 1 || len(s) > m.MaxPositionEmbeddings {
			return fmt.Errorf("calibration: sequence %d has %d tokens, want 1 to the model's %d", i, len(s), m.MaxPositionEmbeddings)
		}
		for _, id := range s {
			if id < 0 || int(id) >= m.VocabSize {
				return fmt.Errorf("calibration: sequence %d has token %d, want one of the vocabulary's %d", i, id, m.VocabSize)
			}
		}
	}
	return nil
}

// float32s rounds nothing.
var float32s = qat.Quantization{Bits: quant.Bits{W: 16, A: 16, KV: 16}, Float: qat.Float32, LMHeadBits: 16}

// runner shows what a model's layers read, one layer after the other.
type runner struct {
	m        *Model
	c        *Calibration
	layer    *nn.Model // the one at work
	at       int
	batches  []nn.Batch
	hidden   [][]float32 // of each batch, in front of the layer
	download []float32
}

// calibrate calls f with each layer in order. Activations and the KV cache are rounded
// as q has it, weights are not: they are as the model has them.
func (m *Model) calibrate(ctx context.Context, c *Calibration, method string, q qat.Quantization, f func(r *runner, layer int) error) error {
	if err := c.check(&m.config); err != nil {
		return err
	}
	r, err := newRunner(m, c, q)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	for i := range m.config.NumHiddenLayers {
		r.at = i
		r.load()
		if err := f(r, i); err != nil {
			return fmt.Errorf("%s: layer %d: %w", method, i, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.Progress != nil {
			c.Progress(method, i+1, m.config.NumHiddenLayers)
		}
	}
	m.note("%s", method)
	return nil
}

// oneLayer is a model cut to a layer and a token, which are replaced.
type oneLayer struct {
	*Model
	config format.Config
}

func (o *oneLayer) Config() *format.Config { return &o.config }

func newRunner(m *Model, c *Calibration, q qat.Quantization) (*runner, error) {
	r := &runner{m: m, c: c}
	longest := 0
	var batch nn.Batch
	var hidden []float32
	embed := m.tensor(format.EmbedName)
	for i, s := range c.Tokens {
		longest = max(longest, len(s))
		batch = append(batch, make([]int32, len(s)))
		for _, id := range s {
			hidden = append(hidden, embed.row(int(id))...)
		}
		if i+1 == len(c.Tokens) || batch.Tokens()+len(c.Tokens[i+1]) > passTokens {
			r.batches, r.hidden = append(r.batches, batch), append(r.hidden, hidden)
			batch, hidden = nil, nil
		}
	}
	o := oneLayer{m, m.config}
	o.config.NumHiddenLayers, o.config.VocabSize, o.config.TieWordEmbeddings = 1, 1, true
	q.Bits.W, q.LMHeadBits = 16, 16
	var err error
	r.layer, err = nn.New(c.Device, &o, nn.Options{Quantization: q, MaxTokens: max(passTokens, longest), MaxLength: longest})
	return r, err
}

// load gives the device the layer's weights as they are now.
func (r *runner) load() {
	first := format.LayerName(0, "")
	for _, p := range r.layer.Params() {
		for _, t := range p.Tensors {
			if tail, ok := strings.CutPrefix(t.Name, first); ok {
				kernels.UploadFloats(r.c.Device, p.W.Part(t.From, t.To), r.m.of(r.at, tail).v)
			}
		}
	}
	r.layer.Prepare()
}

// run calls see with what the layer's parts read of each batch, and goes on: the next run
// is of the next layer's input.
func (r *runner) run(ctx context.Context, see func(nn.Inputs) error) error {
	return r.runTo(ctx, nn.WholeLayer, see)
}

// runTo is run up to what a stage reads. Unless that is the whole layer the next run is of
// the same input.
func (r *runner) runTo(ctx context.Context, end nn.Stage, see func(nn.Inputs) error) error {
	for i, b := range r.batches {
		if err := ctx.Err(); err != nil {
			return err
		}
		var y []float32
		if end == nn.WholeLayer {
			y = r.hidden[i]
		}
		in, err := r.layer.RunLayer(0, end, y, r.hidden[i], b)
		if err != nil {
			return err
		}
		if err := see(in); err != nil {
			return err
		}
	}
	return nil
}

// values returns f's until the next call.
func (r *runner) values(f kernels.Floats) []float32 {
	n := f.Rows * f.Cols
	if len(r.download) < n {
		r.download = make([]float32, n)
	}
	v := r.download[:n]
	kernels.DownloadFloats(r.c.Device, v, f)
	return v
}

// tokens counts all.
func (r *runner) tokens() (n int) {
	for _, b := range r.batches {
		n += b.Tokens()
	}
	return n
}
