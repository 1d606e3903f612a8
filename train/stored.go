package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/topk"
	"github.com/llmqat/llmqat/internal/replace"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/train/nn"
)

// passTokens is about how many tokens go through a teacher at a time.
const passTokens = 2048

// StoreLogits writes the teacher's k likeliest next tokens after each token of all
// windows to a file at path, which is there whole or not at all.
func StoreLogits(ctx context.Context, path string, dev kernels.TrainDevice, src format.Source, teacher string, d *Data, length, k int, progress func(done, all int64)) error {
	if vocab := src.Config().VocabSize; k < 1 || k > vocab {
		return fmt.Errorf("%d of the likeliest tokens, want 1 to %d, the vocabulary", k, vocab)
	}
	pass := max(1, passTokens/length)
	m, err := nn.New(dev, src, nn.Options{Quantization: floats(), MaxTokens: pass * length, MaxLength: length})
	if err != nil {
		return fmt.Errorf("teacher: %w", err)
	}
	m.Prepare()
	return replace.File(path, func(to io.Writer) error {
		w, err := topk.NewWriter(to, topk.Header{
			Teacher: teacher, Data: d.Hash(), Length: length, VocabSize: src.Config().VocabSize, K: k, Tokens: int64(d.Tokens()),
		})
		if err != nil {
			return err
		}
		done := int64(0)
		for i := 0; i < d.Len(); i += pass {
			var b nn.Batch
			for j := i; j < min(i+pass, d.Len()); j++ {
				b = append(b, d.Window(j))
			}
			if err := errors.Join(ctx.Err(), m.TopK(b, k, w.Row)); err != nil {
				return err
			}
			done += int64(b.Tokens())
			progress(done, int64(d.Tokens()))
		}
		return w.Close()
	})
}

// OpenLogits opens what StoreLogits wrote, reads all of it, and refuses what is of
// another teacher or of other windows.
func OpenLogits(ctx context.Context, path, teacher string, vocab int, d *Data, length int, progress func(done, all int64)) (*topk.File, error) {
	f, err := topk.Open(ctx, path, progress)
	if err != nil {
		return nil, fmt.Errorf("stored logits: %w", err)
	}
	const anew = "make them by llmqat-train teach with what is trained on"
	switch h := f.Header(); {
	case h.VocabSize != vocab:
		err = fmt.Errorf("of a vocabulary of %d, the teacher has %d: %s", h.VocabSize, vocab, anew)
	case h.Teacher != teacher:
		err = fmt.Errorf("of another teacher, %s, this one is %s: %s", h.Teacher, teacher, anew)
	case h.Length != length:
		err = fmt.Errorf("of windows of %d tokens, now they have %d: give the same --length, or %s", h.Length, length, anew)
	case h.Data != d.Hash() || h.Tokens != int64(d.Tokens()):
		err = fmt.Errorf("of other data, %s, these are %s: %s", h.Data, d.Hash(), anew)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("stored logits: %s: %w", path, err), f.Close())
	}
	return f, nil
}

// learn adds to the gradients those of windows from..to-1 of a step's batch.
func (r *run) learn(batch nn.Batch, from, to int, l nn.Loss) (nn.Stats, error) {
	b := batch[from:to]
	if r.Logits == nil {
		return r.student.Step(r.teacher, b, l)
	}
	t, k := &r.stored, r.c.TopK
	n := b.Tokens()
	t.IDs, t.Ln = slices.Grow(t.IDs[:0], n*k)[:n*k], slices.Grow(t.Ln[:0], n*(k+1))[:n*(k+1)]
	at := 0
	for i, window := range b {
		first := r.Data.start[r.Data.drawn(r.s.Step*r.c.Batch+from+i, r.seed())]
		end := at + len(window)
		if err := r.Logits.Read(t.IDs[at*k:end*k], t.Ln[at*(k+1):end*(k+1)], first); err != nil {
			return nn.Stats{}, fmt.Errorf("stored logits: %w", err)
		}
		at = end
	}
	return r.student.StepTopK(t, b, l)
}

// seed is that of the windows' order, another one after each rollback.
func (r *run) seed() uint64 { return r.c.Seed + uint64(r.s.Rollbacks) }

// loadTeacher makes the model to compare with.
func (r *run) loadTeacher() error {
	o := nn.Options{Quantization: floats(), MaxTokens: r.c.Pass * r.longest, MaxLength: r.longest, KeepMaps: r.c.AttentionLoss > 0}
	var err error
	if r.teacher, err = nn.New(r.dev, r.Teacher, o); err != nil {
		return fmt.Errorf("teacher: %w", err)
	}
	r.teacher.Prepare()
	return nil
}
