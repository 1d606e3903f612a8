package report

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/kernels/quant"
)

// files are the models of a set, open.
type files struct {
	teacher *qat.File
	models  []*qat.File
}

func (f *files) close() error {
	var err error
	for _, m := range append(f.models, f.teacher) {
		if m != nil {
			err = errors.Join(err, m.Close())
		}
	}
	return err
}

// open opens all models, and makes in o.Out/models what is missing. It fills in what s says of
// them.
func (o *Options) open(ctx context.Context, s *Set) (f *files, err error) {
	f = &files{}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	src, err := source.Open(o.Teacher, o.Tokenizer)
	if err != nil {
		return f, fmt.Errorf("the teacher: %w", err)
	}
	defer src.Close()
	hash, err := src.Hash(ctx, nil)
	if err != nil {
		return f, err
	}
	c := src.Config()
	s.Teacher = Teacher{Name: filepath.Base(o.Teacher), Hash: hash, Layers: c.NumHiddenLayers, Vocabulary: c.VocabSize, Context: c.MaxPositionEmbeddings, Parameters: c.Parameters()}
	if f.teacher, err = o.float(ctx, o.Teacher, src, hash, qat.Float32); err != nil {
		return f, fmt.Errorf("the teacher: %w", err)
	}
	recipes, err := o.recipes()
	if err != nil {
		return f, err
	}
	for _, r := range recipes {
		m, err := o.made(ctx, src, hash, r)
		if err != nil {
			return f, err
		}
		if err := f.add(s, m, "made of the teacher"); err != nil {
			return f, err
		}
	}
	for _, path := range o.Models {
		m, err := o.given(ctx, path)
		if err != nil {
			return f, err
		}
		if err := f.add(s, m, filepath.Base(path)); err != nil {
			return f, err
		}
	}
	distinguish(s.Models)
	return f, nil
}

// float returns the .qat file of a float model: itself, or one made with a float type.
func (o *Options) float(ctx context.Context, path string, src format.FileSource, hash, float string) (*qat.File, error) {
	if strings.HasSuffix(path, ".qat") {
		return qat.Open(path)
	}
	return o.made(ctx, src, hash, convert.Options{
		Bits: quant.Bits{W: 16, A: 16, KV: 16}, KVScheme: quant.KVHeadZP, Float: float, LMHeadBits: 16, Source: filepath.Base(path), CreatedBy: "llmqat bench " + o.Version,
	})
}

// given opens a file that is compared as it is, or a float model as 16-16-16.
func (o *Options) given(ctx context.Context, path string) (*qat.File, error) {
	if strings.HasSuffix(path, ".qat") {
		return qat.Open(path)
	}
	src, err := source.Open(path, "")
	if err != nil {
		return nil, err
	}
	defer src.Close()
	hash, err := src.Hash(ctx, nil)
	if err != nil {
		return nil, err
	}
	float, err := convert.ParseFloat(o.Float)
	if err != nil {
		return nil, err
	}
	return o.float(ctx, path, src, hash, float)
}

// made returns what r makes of a model with a hash. What an earlier run of this version made is
// taken as it is.
func (o *Options) made(ctx context.Context, src format.FileSource, hash string, r convert.Options) (*qat.File, error) {
	base := fmt.Sprintf("%s-%s-%s-%s-head%d.qat", strings.TrimPrefix(hash, "sha256:")[:12], r.Bits, r.KVScheme, cmp.Or(r.Float, "float"), r.LMHeadBits)
	path := filepath.Join(o.Out, "models", base)
	if f, err := qat.Open(path); err == nil {
		if p := f.Header().Provenance; p.SourceHash == hash && p.CreatedBy == r.CreatedBy {
			return f, nil
		}
		f.Close()
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, err
	}
	step, end := progress.Bar(o.Log, "making "+base)
	r.Progress = step
	err := convert.Quantize(ctx, src, path, r)
	if end(); err != nil {
		return nil, fmt.Errorf("making %s of %s: %w", r.Bits, r.Source, err)
	}
	return qat.Open(path)
}

// add takes a model into the set.
func (f *files) add(s *Set, m *qat.File, name string) error {
	f.models = append(f.models, m)
	if err := eval.SameVocabulary(m, f.teacher); err != nil {
		return err
	}
	h := m.Header()
	q, c := h.Quantization, &h.Config
	sum := sha256.Sum256(m.Bytes())
	d := Model{
		Name: nameOf(q), File: name, Hash: "sha256:" + hex.EncodeToString(sum[:]), Bits: q.Bits.String(), Float: q.Float, LMHeadBits: q.LMHeadBits,
		Method: q.Method, Steps: h.Provenance.Steps, MACs: c.MACs(), AttentionMACs: int64(2 * c.ScoreMACs(1)),
	}
	if q.KV().Quantized() {
		d.KVScheme = string(q.KVScheme)
	}
	if p := h.Provenance; p.Steps > 0 && p.SourceHash != s.Teacher.Hash {
		s.Notes = append(s.Notes, fmt.Sprintf("%s was trained for another model (%s) than the teacher here: its distance to this one is not what its training brought.", name, cmp.Or(p.Source, "unknown")))
	}
	s.Models = append(s.Models, d)
	return nil
}

// nameOf is what a model is called: its bits, and how its weights came about.
func nameOf(q qat.Quantization) string {
	if b := q.Bits; b.W == 16 && b.A == 16 && b.KV == 16 {
		return map[string]string{qat.Float16: "FP16", qat.BFloat16: "BF16", qat.Float32: "FP32"}[q.Float]
	}
	how, ok := map[string]string{"rtn": "rounded", "qat": "trained", "synth": "random"}[q.Method]
	if !ok {
		how = q.Method
	}
	return q.Bits.String() + " " + how
}

// distinguish adds to names that several models have the first of KV scheme, lm_head and file
// that tells them apart.
func distinguish(models []Model) {
	for _, of := range []func(m *Model) string{
		func(m *Model) string { return m.KVScheme },
		func(m *Model) string { return fmt.Sprintf("lm_head %d", m.LMHeadBits) },
		func(m *Model) string { return strings.TrimSuffix(m.File, ".qat") },
	} {
		alike := map[string][]int{}
		for i, m := range models {
			alike[m.Name] = append(alike[m.Name], i)
		}
		for _, list := range alike {
			differ := false
			for _, i := range list {
				differ = differ || of(&models[i]) != of(&models[list[0]])
			}
			for _, i := range list {
				if differ {
					models[i].Name += ", " + of(&models[i])
				}
			}
		}
	}
}
