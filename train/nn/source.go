package nn

import (
	"fmt"
	"sync"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels"
)

// source is a model's weights as they are now.
type source struct {
	m    *Model
	tok  *tokenizer.Tokenizer
	mu   sync.Mutex // of the device
	part map[string]partOf
}

type partOf struct {
	*Param
	Part
}

// Source gives the model's weights out, to be written to a file, with a tokenizer of
// the caller's. The model is not to be trained while it is read.
func (m *Model) Source(tok *tokenizer.Tokenizer) format.Source {
	s := &source{m: m, tok: tok, part: map[string]partOf{}}
	for _, p := range m.params {
		for _, t := range p.Tensors {
			s.part[t.Name] = partOf{p, t}
		}
	}
	return s
}

func (s *source) Config() *format.Config          { return &s.m.config }
func (s *source) Tokenizer() *tokenizer.Tokenizer { return s.tok }
func (s *source) ChatTemplate() string            { return "" } // the teacher's, which the caller has
func (s *source) DType(string) format.DType       { return format.F32 }
func (s *source) Close() error                    { return nil }

func (s *source) ReadRows(dst []float32, name string, first int) error {
	p, ok := s.part[name]
	if !ok {
		return fmt.Errorf("no tensor %q", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kernels.DownloadFloats(s.m.dev, dst, p.W.Part(p.From, p.To).Part(first, first+len(dst)/p.W.Cols))
	return s.m.dev.Sync()
}

// Steps returns the scales of a tensor's rows where they are learned or were given,
// else nil: then they are MinMax's.
func (m *Model) Steps(tensor string) []float32 {
	for i := range m.layers {
		for _, l := range m.layers[i].linears() {
			for _, t := range l.Tensors {
				if t.Name != tensor || !l.kept || l.bits == 16 {
					continue
				}
				step := make([]float32, t.To-t.From)
				kernels.Download(m.dev, step, l.step.Slice(t.From, t.To))
				return step
			}
		}
	}
	return nil
}
