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

// prepare returns the files to measure, those that are missing made, and a title.
func (o *Options) prepare(ctx context.Context) (files []file, title string, err error) {
	if len(o.Models) > 0 && strings.HasSuffix(o.Models[0], ".qat") {
		return o.checkpoints()
	}
	if len(o.Models) > 1 {
		return nil, "", fmt.Errorf("bench: %d models; want one to quantize at each setting, or .qat files", len(o.Models))
	}
	dir, err := o.cacheDir()
	if err != nil {
		return nil, "", err
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

// checkpoints takes .qat files as they are.
func (o *Options) checkpoints() (files []file, title string, err error) {
	for _, path := range o.Models {
		f, err := qat.Open(path)
		if err != nil {
			return nil, "", err
		}
		name := f.Header().Quantization.Bits.String()
		f.Close()
		files = append(files, file{name, path})
	}
	return files, filepath.Base(o.Models[0]), nil
}

func (o *Options) cacheDir() (string, error) {
	dir := o.Cache
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("bench: no cache directory: %w: name one by --cache", err)
		}
		dir = filepath.Join(user, "llmqat", "bench")
	}
	return dir, os.MkdirAll(dir, 0o777)
}

// made returns the file of one setting. Random weights are kept for the next run;
// a float model may have changed since, and is quantized anew.
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
