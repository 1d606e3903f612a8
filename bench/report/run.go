package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/llmqat/llmqat/bench"
	"github.com/llmqat/llmqat/internal/replace"
)

// jsonName is the report's file of figures in its folder.
const jsonName = "report.json"

// Run measures a set, and writes each figure to the folder's report.json as it is known. What
// that already has of the same models, texts, flags and version is not measured again.
func Run(ctx context.Context, o Options) (r *Report, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := bench.CheckOut(filepath.Join(o.Out, jsonName)); err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	old, err := earlier(filepath.Join(o.Out, jsonName))
	if err != nil {
		return nil, err
	}
	r = &Report{Format: formatVersion, Sets: []Set{{Title: o.Title, Date: now(), Command: o.Command, Version: o.Version, Notes: slices.Clone(o.Notes)}}}
	s := &r.Sets[0]
	f, err := o.open(ctx, s)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	texts, err := o.texts(f)
	if err != nil {
		return nil, err
	}
	v, err := o.newSpeed(s, f, old)
	if err != nil {
		return nil, err
	}
	save := func() error { return r.save(o.Out) }
	if err := o.quality(ctx, s, f, texts, old, save); err != nil {
		return nil, err
	}
	if err := o.tasks(ctx, s, f, old, save); err != nil {
		return nil, err
	}
	if s.Speed == nil {
		if err := v.measure(ctx, s); err != nil {
			return nil, err
		}
	}
	if err := save(); err != nil {
		return nil, err
	}
	if err := s.whole(); err != nil {
		panic(fmt.Sprintf("report: %s: %v", s.Title, err))
	}
	return r, nil
}

func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

func (r *Report) save(dir string) error {
	return replace.File(filepath.Join(dir, jsonName), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(r)
	})
}

// earlier reads what was measured before, whole or not. A file that is no report is not replaced.
func earlier(path string) (*Report, error) {
	r := &Report{}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, r)
	}
	if err == nil && r.Format != formatVersion {
		err = fmt.Errorf("format %d, this bench reads %d", r.Format, formatVersion)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: an earlier report that cannot be gone on with: %w: remove it, or name another --out", path, err)
	}
	return r, nil
}
