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
	columns, err := o.columns()
	if err != nil {
		return nil, "", err
	}
	for _, opt := range columns {
		f, err := o.made(ctx, dir, opt)
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

// columns returns how the model of each column is made: every setting, with each KV
// scheme where it has one.
func (o *Options) columns() (list []convert.Options, err error) {
	float, err := convert.ParseFloat(o.Float)
	if err != nil {
		return nil, err
	}
	for _, name := range o.Settings {
		opt := convert.Options{Float: float, LMHeadBits: 8, CreatedBy: "llmqat bench " + o.Version}
		if opt.Bits, err = quant.ParseBits(name); err != nil {
			return nil, err
		}
		if opt.Bits.W == 16 {
			opt.LMHeadBits = 16
		}
		for i, scheme := range o.KVSchemes {
			if opt.KVScheme, err = quant.ParseKVScheme(scheme); err != nil {
				return nil, err
			}
			if i == 0 || opt.Bits.KV < 16 {
				list = append(list, opt)
			}
		}
	}
	return list, nil
}

// shapePositions is how far random weights may be read: positions are the one number
// of a shape that changes no speed, and a long context wants more than most have.
const shapePositions = 1 << 17

// made returns the file of one column. Random weights that dir has are not made again.
func (o *Options) made(ctx context.Context, dir string, opt convert.Options) (f file, err error) {
	base := fmt.Sprintf("%s-%s-%s-%s.qat", cmp.Or(o.Shape, "model"), opt.Bits, opt.KVScheme, cmp.Or(opt.Float, "float"))
	f = file{opt.Bits.String(), filepath.Join(dir, base)}
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
		positions := q.Header().Config.MaxPositionEmbeddings
		if q.Close(); positions >= o.longest() {
			return f, nil
		}
	}
	c, err := convert.Shape(o.Shape)
	if err != nil {
		return f, err
	}
	c.MaxPositionEmbeddings = max(c.MaxPositionEmbeddings, shapePositions, o.longest())
	opt.Source = o.Shape
	return f, convert.Synth(ctx, c, f.path, opt)
}
