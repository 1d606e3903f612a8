package generate

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Teacher is the float model whose data are made. One with a Name and a Config alone says what that would take.
type Teacher struct {
	Name      string // of its file or directory
	SHA256    string // of the files it was read from, as a .qat file's provenance has it
	Config    *format.Config
	Tokenizer *tokenizer.Tokenizer // nil where there is none

	file *qat.File         // a .qat file of 16 bits, or nil
	src  format.FileSource // else: what is converted to one
}

// OpenTeacher opens a Hugging Face directory, GGUF or llama2.c file, or a .qat file of
// 16-16-16, and hashes it. tokenizerPath is source.Open's. progress, if not nil, is
// called with bytes.
func OpenTeacher(ctx context.Context, path, tokenizerPath string, progress func(done, total int64)) (*Teacher, error) {
	t := &Teacher{Name: filepath.Base(path)}
	if strings.HasSuffix(path, ".qat") {
		return t, t.openFile(path, tokenizerPath)
	}
	src, err := source.Open(path, tokenizerPath)
	if err != nil {
		return nil, err
	}
	done := int64(0)
	t.SHA256, err = src.Hash(ctx, func(n int) {
		if done += int64(n); progress != nil {
			progress(done, src.Size())
		}
	})
	if err != nil {
		src.Close()
		return nil, err
	}
	t.src, t.Config, t.Tokenizer = src, src.Config(), src.Tokenizer()
	return t, nil
}

func (t *Teacher) openFile(path, tokenizerPath string) error {
	if tokenizerPath != "" {
		return fmt.Errorf("%s: a .qat file has its tokenizer inside: leave --tokenizer out", path)
	}
	f, err := qat.Open(path)
	if err != nil {
		return err
	}
	h := f.Header()
	if q := h.Quantization; !isFloat(q) {
		f.Close()
		return fmt.Errorf("%s: %v with an lm_head of %d bits, and data are sampled from the float model: "+
			"give that, or what llmqat quantize --bits 16-16-16 makes of it", path, q.Bits, q.LMHeadBits)
	}
	t.file, t.Config, t.Tokenizer, t.SHA256 = f, &h.Config, h.Tokenizer, f.SourceHash()
	return nil
}

var floatBits = quant.Bits{W: 16, A: 16, KV: 16}

func isFloat(q qat.Quantization) bool { return q.Bits == floatBits && q.LMHeadBits == 16 }

// Header says what the .qat file that Float returns is, before it is made.
func (t *Teacher) Header(ctx context.Context) (*qat.Header, error) {
	if t.file != nil {
		return t.file.Header(), nil
	}
	q := qat.Quantization{Bits: floatBits, KVScheme: quant.KVHeadZP, LMHeadBits: 16, Float: qat.Float16}
	var err error
	if t.src != nil {
		q.Float, err = convert.ChooseFloat(ctx, t.src, q)
	}
	return &qat.Header{Config: *t.Config, Quantization: q}, err
}

// Float returns the teacher as a .qat file of 16 bits, open until Close. What is none
// is converted to one in dir, as o says of CreatedBy and Progress, which is used again
// as long as it is there. Where another process converts it now, waits is called, and
// then that is waited for.
func (t *Teacher) Float(ctx context.Context, dir string, o convert.Options, waits func(path string)) (*qat.File, error) {
	if t.file != nil {
		return t.file, nil
	}
	o.Bits, o.Source = floatBits, t.Name
	path := filepath.Join(dir, "teacher-"+strings.TrimPrefix(t.SHA256, "sha256:")[:16]+".qat")
	for waited := false; ; waited = true {
		if f, err := qat.Open(path); err == nil {
			if h := f.Header(); h.Provenance.SourceHash == t.SHA256 && isFloat(h.Quantization) {
				t.file = f
				return f, nil
			}
			f.Close()
		}
		switch err := convert.Quantize(ctx, t.src, path, o); {
		case err == nil:
			return t.converted(path)
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return nil, err
		}
		if !waited {
			waits(path)
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// converted opens what was just made.
func (t *Teacher) converted(path string) (*qat.File, error) {
	f, err := qat.Open(path)
	if err != nil {
		return nil, err
	}
	if found := f.Header().Provenance.SourceHash; found != t.SHA256 {
		f.Close()
		return nil, fmt.Errorf("%s: the model changed while it was read, from %s to %s: run again", t.Name, t.SHA256, found)
	}
	t.file = f
	return f, nil
}

// Close closes the teacher's files.
func (t *Teacher) Close() error {
	var errs []error
	if t.file != nil {
		errs = append(errs, t.file.Close())
	}
	if t.src != nil {
		errs = append(errs, t.src.Close())
	}
	return errors.Join(errs...)
}
