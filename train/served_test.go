package train

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/train/nn"
)

// An evaluation's line has what eval finds of the same student, file and windows, and
// the best is what does best as it is served.
func TestServed(t *testing.T) {
	dev, err := cpu.New(2, "")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	ctx, dir, c := context.Background(), t.TempDir(), config()
	c.EvalWindows = 4
	held := data(2, 6)
	var windows [][]int32
	for i := range c.EvalWindows {
		windows = append(windows, held.Window(i))
	}
	float := filepath.Join(dir, "teacher.qat")
	var o Options
	serving(&o, dev, floats())
	if err := o.Round(ctx, float); err != nil {
		t.Fatal(err)
	}
	evaluated := func(path string) (*eval.Result, string) {
		t.Helper()
		teacher, err := qat.Open(float)
		if err != nil {
			t.Fatal(err)
		}
		defer teacher.Close()
		f, err := qat.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := eval.Compare(ctx, dev, f, teacher, windows, eval.Options{})
		if err != nil {
			t.Fatal(err)
		}
		logits, err := eval.Hash(ctx, dev, f, windows, eval.Options{MaxTokens: 5})
		if err != nil {
			t.Fatal(err)
		}
		return r, logits
	}
	serving(&o, dev, c.Quantization)
	export := o.Export
	var last, rtn, best *Served
	seen := map[string]bool{}
	o.Export = func(ctx context.Context, path string, m *nn.Model, s Summary) error {
		if err := export(ctx, path, m, s); err != nil || filepath.Base(path) == servedName {
			return err
		}
		r, logits := evaluated(path)
		// Sums of float32 as against those of float64.
		near := func(a, b float64) bool { return math.Abs(a-b) < 1e-6*(1+math.Abs(b)) }
		if s.Served.Logits != best.Logits || logits != best.Logits || !near(best.KL, r.KL.Value) || !near(best.CE, r.NLL.Value) || best.Agreement != r.Top1.Value {
			t.Errorf("recorded %+v, the best was %+v, evaluated KL %v, CE %v, top-1 %v, logits %s", s.Served, best, r.KL, r.NLL, r.Top1, logits)
		}
		return nil
	}
	o.Held, o.Log = held, func(l Line) {
		if !l.Held {
			return
		}
		last = l.Served
		seen[last.Logits] = true
		if best == nil || last.KL < best.KL {
			best = last
		}
		if a := last.Apart; !a.Exact() || l.CE != last.CE || l.KL != last.KL {
			t.Errorf("step %d: %+v, cross entropy trained %v, served %v", l.Step, a, l.CE, last.CE)
		}
		if (l.RTN != nil) != (l.Step == 0) {
			t.Errorf("step %d: rounded to nearest %+v", l.Step, l.RTN)
		} else if l.RTN != nil {
			rtn = l.RTN
		}
	}
	if err := start(ctx, dir, 2, c, o); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 5 {
		t.Errorf("%d different students in 5 evaluations", len(seen))
	}
	path := filepath.Join(dir, "rtn.qat")
	if err := o.Round(ctx, path); err != nil {
		t.Fatal(err)
	}
	if r, logits := evaluated(path); rtn.Logits != logits || math.Abs(rtn.KL-r.KL.Value) > 1e-6*(1+r.KL.Value) {
		t.Errorf("rounded to nearest %+v, evaluated %v, logits %s", rtn, r.KL, logits)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*.qat*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestApart(t *testing.T) {
	nan := math.NaN()
	for _, a := range []Apart{{1e-12, 1, 1}, {0, 0.999, 1}, {0, 1, 0.99999}, {nan, 1, 1}, {0, 1, nan}} {
		if a.Exact() {
			t.Errorf("%v is exact", &a)
		}
	}
	if !(&Apart{0, 1, 1}).Exact() {
		t.Error("nothing apart is not exact")
	}
}
