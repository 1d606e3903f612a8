package train

import (
	"context"
	"math"
	"path/filepath"
	"sync"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/train/nn"
)

// pool sums what its workers bring, in the order of their numbers, once all are there.
type pool struct {
	mu       sync.Mutex
	arrived  *sync.Cond
	n, there int
	round    int
	parts    [][]float64 // of each worker
	sum      []float64   // of the last round
}

func newPool(n int) *pool {
	p := &pool{n: n, parts: make([][]float64, n)}
	p.arrived = sync.NewCond(&p.mu)
	return p
}

func (p *pool) add(worker int, part []float64) []float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parts[worker] = part
	if p.there++; p.there == p.n {
		p.sum = make([]float64, len(part))
		for _, part := range p.parts {
			for i, v := range part {
				p.sum[i] += v
			}
		}
		p.there, p.round = 0, p.round+1
		p.arrived.Broadcast()
		return p.sum
	}
	for round := p.round; p.round == round; {
		p.arrived.Wait()
	}
	return p.sum
}

type worker struct {
	*pool
	i   int
	dev kernels.Memory
}

func (w worker) Worker() (i, of int) { return w.i, w.n }

func (w worker) Sum(grads []kernels.Floats) error {
	for _, g := range grads {
		for r := range g.Rows {
			row := make([]float32, g.Cols)
			kernels.DownloadFloats(w.dev, row, g.Part(r, r+1))
			part := make([]float64, len(row))
			for i, v := range row {
				part[i] = float64(v)
			}
			for i, v := range w.add(w.i, part) {
				row[i] = float32(v)
			}
			kernels.UploadFloats(w.dev, g.Part(r, r+1), row)
		}
	}
	return nil
}

func (w worker) SumStats(s *nn.Stats) error {
	v := w.add(w.i, []float64{float64(s.Tokens), s.KL, s.CE, s.TeacherCE, s.Same, float64(s.Positions), s.Attention, s.Hidden})
	s.Tokens, s.KL, s.CE, s.TeacherCE, s.Same = int(v[0]), v[1], v[2], v[3], v[4]
	s.Positions, s.Attention, s.Hidden = int(v[5]), v[6], v[7]
	return nil
}

// Two workers share a step's windows: together they are one, but for the order in which
// gradients are summed, and both end with the same bits.
func TestWorkersAreOne(t *testing.T) {
	c := config()
	c.Steps, c.EvalEvery, c.SaveEvery, c.AttentionLoss, c.HiddenLoss = 10, 5, 5, 0.3, 0.3
	dir := t.TempDir()
	alone := filepath.Join(dir, "alone")
	if err := start(context.Background(), alone, 1, c, Options{}); err != nil {
		t.Fatal(err)
	}
	both := newPool(2)
	dirs := []string{filepath.Join(dir, "0"), filepath.Join(dir, "1")}
	dev, err := cpu.New(1, "") // to read and write gradients: memory is the host's
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	errs := make([]error, 2)
	var wait sync.WaitGroup
	for i := range dirs {
		wait.Go(func() { errs[i] = start(context.Background(), dirs[i], 1, c, Options{Reducer: worker{both, i, dev}}) })
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	if a, b := outcome(t, dirs[0]), outcome(t, dirs[1]); a != b {
		t.Errorf("the workers differ:\n%s\n%s", a, b)
	}
	one, err := ReadLog(filepath.Join(alone, logName))
	if err != nil {
		t.Fatal(err)
	}
	two, err := ReadLog(filepath.Join(dirs[0], logName))
	if err != nil || len(one) != len(two) {
		t.Fatalf("%d and %d lines, %v", len(one), len(two), err)
	}
	for i, l := range one {
		// A last bit of a gradient tips a rounding now and then.
		if math.Abs(l.KL-two[i].KL) > 1e-3*l.KL || l.Tokens != two[i].Tokens || math.Abs(l.Attention-two[i].Attention) > 1e-2*l.Attention || math.Abs(l.Hidden-two[i].Hidden) > 1e-2*l.Hidden || !(math.Abs(l.GradNorm-two[i].GradNorm) <= 1e-2*l.GradNorm) {
			t.Errorf("alone %+v, shared %+v", l, two[i])
		}
	}
}
