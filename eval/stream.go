package eval

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
)

// Stream runs a model over windows, each alone, as many tokens at a time as its caller
// wants, for one who compares the logits with others that come a few rows at a time.
type Stream struct {
	model   *served
	path    string
	windows [][]int32
	tokens  int   // of a pass, at most
	total   int64 // of all windows
	next    piece // up to where windows are computed: window and from
	sum     logitHash
	file    *qat.File // that Close closes, of OpenStream
}

// OpenStream is NewStream of the file at path, which Close closes.
func OpenStream(dev kernels.Device, path string, windows [][]int32, o Options) (*Stream, error) {
	f, err := qat.Open(path)
	if err != nil {
		return nil, err
	}
	s, err := NewStream(dev, f, windows, o)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.file = f
	return s, nil
}

// NewStream loads f, which must stay open until Close.
func NewStream(dev kernels.Device, f *qat.File, windows [][]int32, o Options) (*Stream, error) {
	vocab := f.Header().Config.VocabSize
	longest, total, err := check(windows, vocab)
	if err != nil {
		return nil, err
	}
	s := &Stream{path: f.Path(), windows: windows, tokens: o.tokens(vocab), total: total, sum: newLogitHash()}
	if s.model, err = load(dev, f, s.tokens, longest); err != nil {
		return nil, err
	}
	return s, nil
}

// Close frees the model.
func (s *Stream) Close() error {
	s.model.close()
	if s.file != nil {
		return s.file.Close()
	}
	return nil
}

// Next sets dst [n, vocab] to the logits that follow the next n tokens of the windows.
// More than there are is a caller's bug and panics.
func (s *Stream) Next(dst []float32) error {
	for n := len(dst) / s.model.vocab; n > 0; {
		pass := s.pass(min(n, s.tokens))
		if err := s.model.run(s.windows, pass); err != nil {
			return fmt.Errorf("%s: window %d: %w", s.path, pass[0].window, err)
		}
		rows := 0
		for _, p := range pass {
			rows += p.to - p.from
		}
		for i := range rows {
			s.sum.add(s.model.row(i))
		}
		dst = dst[copy(dst, s.model.logits[:rows*s.model.vocab]):]
		n -= rows
	}
	return nil
}

// pass takes the next up to n tokens, of maxSeqs windows at most.
func (s *Stream) pass(n int) (pass []piece) {
	for n > 0 && len(pass) < min(maxSeqs, s.tokens) {
		if s.next.window == len(s.windows) {
			if len(pass) == 0 {
				panic(fmt.Sprintf("eval: Stream: %d tokens more than the windows have", n))
			}
			break
		}
		length := len(s.windows[s.next.window])
		p := s.next
		p.to = min(p.from+n, length)
		if n -= p.to - p.from; p.to > p.from {
			pass = append(pass, p)
		}
		if s.next.from = p.to; p.to == length {
			s.next = piece{window: p.window + 1}
		}
	}
	return pass
}

// Sum returns the SHA-256 of all logits so far, as Hash defines it.
func (s *Stream) Sum() string { return s.sum.String() }

// logitHash is what Hash returns, under way.
type logitHash struct {
	hash.Hash
	b []byte
}

func newLogitHash() logitHash { return logitHash{Hash: sha256.New()} }

func (h *logitHash) add(logits []float32) {
	h.b = h.b[:0]
	for _, v := range logits {
		h.b = binary.LittleEndian.AppendUint32(h.b, math.Float32bits(v))
	}
	h.Write(h.b)
}

func (h *logitHash) String() string { return hex.EncodeToString(h.Sum(nil)) }
