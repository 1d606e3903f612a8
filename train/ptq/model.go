package ptq

import (
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// Model is a float model in memory, which methods change; it is read as any other. It
// holds 4 bytes a parameter, so 27 GB for LLaMA-7B, and calibration takes memory beside
// it (Calibration): models that exceed the machine's memory are not for this package.
type Model struct {
	config  format.Config
	tok     *tokenizer.Tokenizer
	chat    string
	tensors map[string]*matrix
	applied []string
}

// matrix is a tensor, a vector as one row.
type matrix struct {
	rows, cols int
	v          []float32
}

func (w *matrix) row(i int) []float32 { return w.v[i*w.cols:][:w.cols] }

func newMatrix(t format.TensorSpec) *matrix {
	w := &matrix{t.Out, t.In, nil}
	if t.In == 0 {
		w.rows, w.cols = 1, t.Out
	}
	w.v = make([]float32, w.rows*w.cols)
	return w
}

// Load reads all of src.
func Load(src format.Source) (*Model, error) {
	m := &Model{config: *src.Config(), tok: src.Tokenizer(), chat: src.ChatTemplate(), tensors: map[string]*matrix{}}
	var g errgroup.Group
	g.SetLimit(threads())
	for _, t := range m.config.Tensors() {
		w := newMatrix(t)
		m.tensors[t.Name] = w
		g.Go(func() error {
			if err := src.ReadRows(w.v, t.Name, 0); err != nil {
				return fmt.Errorf("tensor %q: %w", t.Name, err)
			}
			return nil
		})
	}
	return m, g.Wait()
}

// Config implements format.Source. A method may have untied lm_head from the embedding.
func (m *Model) Config() *format.Config { return &m.config }

// Tokenizer implements format.Source.
func (m *Model) Tokenizer() *tokenizer.Tokenizer { return m.tok }

// ChatTemplate implements format.Source.
func (m *Model) ChatTemplate() string { return m.chat }

// DType implements format.Source.
func (m *Model) DType(string) format.DType { return format.F32 }

// ReadRows implements format.Source.
func (m *Model) ReadRows(dst []float32, name string, first int) error {
	w := m.tensor(name)
	if n := len(dst) / w.cols; n*w.cols != len(dst) || first < 0 || first+n > w.rows {
		panic(fmt.Sprintf("ptq: ReadRows: %d numbers from row %d of %q, which is [%d, %d]", len(dst), first, name, w.rows, w.cols))
	}
	copy(dst, w.v[first*w.cols:])
	return nil
}

// Close implements format.Source.
func (m *Model) Close() error { return nil }

// Applied lists the methods that have changed the model, in order, with their numbers,
// the seeds of random ones among them: for provenance.
func (m *Model) Applied() []string { return slices.Clone(m.applied) }

func (m *Model) note(format string, args ...any) {
	m.applied = append(m.applied, fmt.Sprintf(format, args...))
}

func (m *Model) tensor(name string) *matrix {
	w, ok := m.tensors[name]
	if !ok {
		panic(fmt.Sprintf("ptq: no tensor %q", name))
	}
	return w
}

// of returns a layer's tensor, as of(0, "mlp.up_proj.weight").
func (m *Model) of(layer int, tail string) *matrix { return m.tensor(format.LayerName(layer, tail)) }
