package report

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/runtime/device"
)

// text is one that quality is measured on, with its windows.
type text struct {
	Text
	windows [][]int32
}

// texts cuts what the flags name, for the models' common vocabulary.
func (o *Options) texts(f *files) (list []text, err error) {
	length := eval.MaxLength
	for _, m := range append(f.models, f.teacher) {
		length = min(length, m.Header().Config.MaxPositionEmbeddings)
	}
	length = cmp.Or(o.Length, length)
	h := f.teacher.Header()
	if o.Text != "" {
		if h.Tokenizer == nil {
			return nil, fmt.Errorf("%s has no tokenizer, to read %s with: name one by --tokenizer, or give --held alone", o.Teacher, o.Text)
		}
		raw, err := eval.ReadFile(o.Text)
		if err != nil {
			return nil, err
		}
		if o.WikiText {
			raw = eval.WikiText(raw)
		}
		t, err := eval.Cut(h.Tokenizer, raw, length)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Text, err)
		}
		list = append(list, o.text(filepath.Base(o.Text), t))
	}
	if len(o.Held) > 0 {
		t, err := eval.Shards(o.Held, h.Config.VocabSize, length)
		if err != nil {
			return nil, err
		}
		list = append(list, o.text("text that the teacher drew", t))
	}
	return list, nil
}

func (o *Options) text(name string, t *eval.Text) text {
	w := t.Windows
	if o.Windows > 0 && len(w) > o.Windows {
		w = w[:o.Windows]
	}
	sum := sha256.New()
	for _, ids := range w {
		binary.Write(sum, binary.LittleEndian, int32(len(ids)))
		binary.Write(sum, binary.LittleEndian, ids)
	}
	return text{Text{Name: name, Is: t.Is, Windows: len(w), Hash: "sha256:" + hex.EncodeToString(sum.Sum(nil))}, w}
}

// keyOf is one short name for all that figures depend on.
func keyOf(parts ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:8])
}

// find returns the figures of a key, or a place for them.
func (r *Report) find(key string) Quality {
	for _, s := range r.Sets {
		for _, m := range s.Models {
			for _, q := range m.Quality {
				if q.Key == key && q.Comparison != nil {
					return q
				}
			}
		}
	}
	return Quality{Key: key}
}

// quality compares every model with the teacher, on each text in turn.
func (o *Options) quality(ctx context.Context, s *Set, f *files, texts []text, old *Report, save func() error) (err error) {
	dev, err := device.Open(o.Device, o.Threads)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()
	for _, t := range texts {
		s.Texts = append(s.Texts, t.Text)
		for j := range s.Models { // all that is known, before anything is saved
			m := &s.Models[j]
			key := keyOf("quality", m.Hash, s.Teacher.Hash, t.Hash, dev.Device.Name(), o.Version)
			m.Quality = append(m.Quality, old.find(key))
		}
	}
	tell, end := progress.Line(o.Log, 10*time.Second)
	defer end()
	for i, t := range texts {
		for j := range s.Models {
			m := &s.Models[j]
			q := &m.Quality[i]
			if q.Comparison != nil {
				continue
			}
			what := fmt.Sprintf("%s, model %d of %d on text %d of %d", m.Name, j+1, len(s.Models), i+1, len(texts))
			tell(what)
			result, err := eval.Compare(ctx, dev.Device, f.models[j], f.teacher, t.windows, eval.Options{Threads: dev.Threads,
				Progress: progress.Every(2*time.Second, func(done, total int64, left time.Duration) {
					tell(fmt.Sprintf("%s: %d of %d tokens, %v left", what, done, total, left.Round(time.Second)))
				})})
			if err != nil {
				return err
			}
			result.Each = nil
			q.Result = *result
			if err := save(); err != nil {
				return err
			}
		}
	}
	return nil
}

// hashes lists those of all models.
func (s *Set) hashes() string {
	var list []string
	for _, m := range s.Models {
		list = append(list, m.Hash)
	}
	return strings.Join(list, " ")
}
