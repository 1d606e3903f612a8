package bench

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/source"
	"github.com/llmqat/llmqat/internal/progress"
	"github.com/llmqat/llmqat/kernels/quant"
)

// file is a .qat file to be measured, and the name of its column.
type file struct{ name, path string }

// finished says whether the models are .qat files, measured as they are.
func (o *Options) finished() bool { return len(o.Models) > 0 && strings.HasSuffix(o.Models[0], ".qat") }

// dir returns the folder in which files are made, and what to call when they are no
// longer wanted. Random weights are kept for the next run; of a float model, which may
// have changed by then, nothing stays.
func (o *Options) dir() (dir string, remove func(), err error) {
	keep := func() {}
	if o.finished() {
		return "", keep, nil
	}
	if dir = o.Cache; dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", nil, fmt.Errorf("no cache directory: %w: name one by --cache", err)
		}
		dir = filepath.Join(user, "llmqat", "bench")
	}
	if err := os.MkdirAll(dir, 0o777); err != nil || o.Shape != "" {
		return dir, keep, err
	}
	dir, err = os.MkdirTemp(dir, "model-")
	return dir, func() { os.RemoveAll(dir) }, err
}

// prepare returns the files to measure, those that are missing made in dir, and a
// title.
func (o *Options) prepare(ctx context.Context, dir string) (files []file, title string, err error) {
	if o.finished() {
		return o.checkpoints()
	}
	if len(o.Models) > 1 {
		return nil, "", fmt.Errorf("%d models; want one to quantize at each setting, or .qat files", len(o.Models))
	}
	for _, name := range o.Settings {
		f, err := o.made(ctx, dir, name)
		if err != nil {
			return nil, "", err
		}
		files = append(files, f)
	}
	title = o.Shape
	if title == "" {
		title = filepath.Base(o.Models[0])
	}
	return files, title, nil
}

// checkpoints takes .qat files as they are. Beside others a column has the file's name
// too: their bits may be the same.
func (o *Options) checkpoints() (files []file, title string, err error) {
	var titles []string
	for _, path := range o.Models {
		f, err := qat.Open(path)
		if err != nil {
			return nil, "", err
		}
		base, name := filepath.Base(path), f.Header().Quantization.Bits.String()
		f.Close()
		titles = append(titles, base)
		if len(o.Models) > 1 {
			name = strings.TrimSuffix(base, ".qat") + " " + name
		}
		files = append(files, file{name, path})
	}
	return files, strings.Join(titles, ", "), nil
}

// made returns the file of one setting. Random weights that dir has are not made again.
func (o *Options) made(ctx context.Context, dir, setting string) (f file, err error) {
	opt := convert.Options{CreatedBy: "llmqat bench " + o.Version}
	if opt.Bits, err = quant.ParseBits(setting); err != nil {
		return f, err
	}
	if opt.KVScheme, err = quant.ParseKVScheme(cmp.Or(o.KVScheme, string(quant.KVHeadZP))); err != nil {
		return f, err
	}
	if opt.Float, err = convert.ParseFloat(o.Float); err != nil {
		return f, err
	}
	base := fmt.Sprintf("%s-%s-%s-%s.qat", cmp.Or(o.Shape, "model"), opt.Bits, opt.KVScheme, cmp.Or(opt.Float, "float"))
	f = file{setting, filepath.Join(dir, base)}
	var end func()
	opt.Progress, end = progress.Bar(o.Log, "making "+base)
	defer end()
	if o.Shape == "" {
		src, err := source.Open(o.Models[0], o.Tokenizer)
		if err != nil {
			return f, err
		}
		defer src.Close()
		opt.Source = filepath.Base(o.Models[0])
		return f, convert.Quantize(ctx, src, f.path, opt)
	}
	if q, err := qat.Open(f.path); err == nil {
		return f, q.Close()
	}
	c, err := convert.Shape(o.Shape)
	if err != nil {
		return f, err
	}
	opt.Source = o.Shape
	return f, convert.Synth(ctx, c, f.path, opt)
}
