package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/internal/long"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
	"github.com/llmqat/llmqat/train/nn"
)

// noise is a model of random weights.
type noise struct{ c format.Config }

func (s noise) Config() *format.Config          { return &s.c }
func (s noise) ChatTemplate() string            { return "" }
func (s noise) Tokenizer() *tokenizer.Tokenizer { return nil }
func (s noise) DType(string) format.DType       { return format.F32 }
func (s noise) Close() error                    { return nil }
func (s noise) ReadRows(dst []float32, name string, first int) error {
	cols := s.c.HiddenSize
	for _, t := range s.c.Tensors() {
		if t.Name == name && t.In > 0 {
			cols = t.In
		}
	}
	for ; len(dst) > 0; first, dst = first+1, dst[cols:] {
		h := fnv.New64a()
		fmt.Fprint(h, name, first)
		r := rand.New(rand.NewPCG(h.Sum64(), 1))
		for i := range cols {
			dst[i] = float32(r.NormFloat64() / math.Sqrt(float64(cols)))
			if strings.Contains(name, "norm") {
				dst[i]++
			} else if name == format.EmbedName {
				dst[i] *= 4
			}
		}
	}
	return nil
}

func teacher() noise {
	return noise{format.Config{
		HiddenSize: 24, IntermediateSize: 36, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2, HeadDim: 6,
		VocabSize: 40, MaxPositionEmbeddings: 64, RMSNormEps: 1e-5, RopeTheta: 10000, TieWordEmbeddings: true, BOSTokenID: 1,
	}}
}

func config() Config {
	c := Config{
		Length: 16, Batch: 5, Pass: 2, Steps: 40, LearningRate: 3e-3, Warmup: 3, Clip: 1, Soft: 0.9, LearnSteps: true,
		Seed: 3, EvalEvery: 10, SaveEvery: 4,
	}
	c.Quantization = qat.Quantization{Bits: quant.Bits{W: 4, A: 8, KV: 4}, KVScheme: quant.KVHeadZP, Float: qat.Float32, LMHeadBits: 8}
	return c
}

func data(seed uint64, texts int) *Data {
	r, d := rand.New(rand.NewPCG(seed, 5)), &Data{}
	for range texts {
		ids := make([]int32, 2+r.IntN(30))
		for i := range ids {
			ids[i] = int32(r.IntN(40))
		}
		d.Add(ids, 16)
	}
	return d
}

// start runs in dir with o's remaining fields, without pictures.
func start(ctx context.Context, dir string, threads int, c Config, o Options) error {
	o.noCurves = true
	return startDrawn(ctx, dir, threads, c, o)
}

func startDrawn(ctx context.Context, dir string, threads int, c Config, o Options) error {
	dev, err := cpu.New(threads, "")
	if err != nil {
		return err
	}
	defer dev.Close()
	c, err = c.Resolve(teacher().Config())
	if err != nil {
		return err
	}
	o.Dir, o.Teacher = dir, teacher()
	if o.Data == nil {
		o.Data = data(1, 30)
	}
	if o.Held == nil {
		o.Held = data(2, 6)
	}
	if o.Export == nil {
		serving(&o, dev, c.Quantization)
	}
	return Run(ctx, dev, c, o)
}

// reached is called where a process is killed that is to die amid an evaluation or an export.
var reached = func() {}

// serving has evaluations run the student as it is served, and what did best exported.
func serving(o *Options, dev *cpu.Device, q qat.Quantization) {
	write := func(ctx context.Context, src format.Source, path string, trained convert.Trained) error {
		reached()
		defer reached()
		var once sync.Once
		return convert.Quantize(ctx, src, path, convert.Options{Bits: q.Bits, KVScheme: q.KVScheme, LMHeadBits: q.LMHeadBits, Float: q.Float, Trained: trained,
			Progress: func(int64, int64) { once.Do(reached) }})
	}
	o.Export = func(ctx context.Context, path string, m *nn.Model, s Summary) error {
		return write(ctx, m.Source(nil), path, convert.Trained{Method: "qat", Steps: s.Steps, Tokens: s.Tokens, Scales: m.Steps})
	}
	o.Round = func(ctx context.Context, path string) error { return write(ctx, teacher(), path, convert.Trained{}) }
	o.Serve = func(path string, windows [][]int32) (Server, error) {
		s, err := eval.OpenStream(dev, path, windows, eval.Options{})
		return server{s}, err
	}
}

type server struct{ *eval.Stream }

func (s server) Next(dst []float32) error {
	reached()
	return s.Stream.Next(dst)
}

func (s server) Close() error {
	reached()
	return s.Stream.Close()
}

// outcome is all of a run that must not depend on how it came about.
func outcome(t *testing.T, dir string) string {
	t.Helper()
	lines, err := ReadLog(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, l := range lines {
		l.TokensPerSecond, l.Seconds, l.ETA = 0, 0, 0
		text, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", text)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name() == logName || strings.HasPrefix(f.Name(), ".") || strings.HasPrefix(f.Name(), "curves.") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		h := fnv.New64a()
		h.Write(text)
		fmt.Fprintf(&b, "%s %x\n", f.Name(), h.Sum64())
	}
	return b.String()
}

func TestRunDoesNotDependOnThreads(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	c := config()
	c.AttentionLoss, c.HiddenLoss = 0.3, 0.2
	if err := errors.Join(start(context.Background(), a, 1, c, Options{}), start(context.Background(), b, 3, c, Options{})); err != nil {
		t.Fatal(err)
	}
	if x, y := outcome(t, a), outcome(t, b); x != y {
		t.Errorf("with one thread:\n%s\nwith three:\n%s", x, y)
	}
}

func TestTrainingHelps(t *testing.T) {
	long.Sequential(t)
	dir := t.TempDir()
	c := config()
	c.Steps, c.Soft, c.LearningRate = 150, 1, 1e-3
	if err := startDrawn(context.Background(), dir, 2, c, Options{Held: data(1, 30)}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"curves.svg", "curves.png"} {
		if f, err := os.Stat(filepath.Join(dir, name)); err != nil || f.Size() < 1000 {
			t.Errorf("no picture of the run: %v", err)
		}
	}
	lines, err := ReadLog(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	first, last := lines[0], lines[len(lines)-1]
	if !first.Held || !last.Held || first.Step != 0 || last.Step != 150 || !(last.KL < 0.7*first.KL) {
		t.Errorf("KL on the text that it was trained on went from %v (step %d) to %v (step %d), want 0.7 of it at most", first.KL, first.Step, last.KL, last.Step)
	}
}

// Whoever interrupts a run finds its state saved.
func TestInterrupt(t *testing.T) {
	dir, want := t.TempDir(), t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	err := start(ctx, dir, 2, config(), Options{Log: func(l Line) {
		if l.Step == 11 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("ended with %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, stoppedName)); err != nil {
		t.Error(err)
	}
	if err := errors.Join(start(context.Background(), dir, 2, config(), Options{Resume: true}), start(context.Background(), want, 2, config(), Options{})); err != nil {
		t.Fatal(err)
	}
	if x, y := outcome(t, dir), outcome(t, want); x != y {
		t.Errorf("interrupted:\n%s\nalone:\n%s", x, y)
	}
}

// The first step's numbers follow from the gradient alone, which is computed here in one
// pass: AdamW, its moments corrected, moves each weight by the learning rate, and steps by
// a tenth of that.
func TestFirstStep(t *testing.T) {
	long.Sequential(t)
	c := config()
	c.Clip, c.Gate, c.AttentionLoss, c.HiddenLoss = 0.5, 1, 0.3, 0.2
	t.Run("ours", func(t *testing.T) {
		testFirstStep(t, c, func(b nn.Batch) nn.Loss {
			n := float32(b.Tokens())
			return nn.Loss{Weight: float32(1 / float64(b.Targets())), Soft: float32(c.Soft), Attention: 0.3 / n, Hidden: 0.2 / n}
		})
	})
	t.Run("compat", func(t *testing.T) {
		testFirstStep(t, compat(), func(b nn.Batch) nn.Loss { return nn.Loss{Weight: float32(1 / float64(len(b))), Soft: 1} })
	})
}

// compat is config as the released code has it.
func compat() Config {
	c := config()
	c.Compat, c.LearnSteps, c.Soft, c.Gate = true, false, 1, 2
	c.Quantization.KVScheme, c.Quantization.LMHeadBits = quant.KVToken, 16
	return c
}

func testFirstStep(t *testing.T, c Config, loss func(nn.Batch) nn.Loss) {
	dir := t.TempDir()
	c.Steps, c.Warmup, c.StepsRate = 1, 0, 0.1
	var line Line
	if err := start(context.Background(), dir, 1, c, Options{Log: func(l Line) {
		if !l.Held {
			line = l
		}
	}}); err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if c, err = c.Resolve(teacher().Config()); err != nil {
		t.Fatal(err)
	}
	c.Data, c.Held = data(1, 30).Hash(), data(2, 6).Hash()
	fresh := func(q qat.Quantization, learn bool) *nn.Model {
		m, err := nn.New(dev, teacher(), nn.Options{Quantization: q, Train: learn, LearnSteps: learn && c.LearnSteps, KeepMaps: !learn, Gate: c.Gate, Compat: learn && c.Compat, MaxTokens: 100, MaxLength: 16})
		if err != nil {
			t.Fatal(err)
		}
		m.Prepare()
		return m
	}
	before, after := fresh(c.Quantization, true), fresh(c.Quantization, true)
	batch := nn.Batch(data(1, 30).batch(nil, 0, c.Batch, c.Seed))
	if _, err := before.Step(fresh(floats(), false), batch, loss(batch)); err != nil {
		t.Fatal(err)
	}
	before.FinishGrads()
	gradient, err := newOptimizer(dev, before.Params())
	if err != nil {
		t.Fatal(err)
	}
	norm, err := gradient.gradNorm()
	if err != nil || !(math.Abs(line.GradNorm/norm-1) < 1e-5) || norm < c.Clip {
		t.Errorf("the gradient is %v long, want %v, above %v (%v)", line.GradNorm, norm, c.Clip, err)
	}
	opt, err := newOptimizer(dev, after.Params())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newCheckpoint(dev, opt).load(filepath.Join(dir, "step-000000000001.safetensors"), c); err != nil {
		t.Fatal(err)
	}
	values := func(f kernels.Floats) []float32 {
		v := make([]float32, f.Rows*f.Cols)
		kernels.DownloadFloats(dev, v, f)
		return v
	}
	square := 0.0
	for i, p := range after.Params() {
		rate := c.LearningRate
		if p.Of != nil {
			rate *= c.StepsRate
		}
		was, is, grad := values(before.Params()[i].W), values(p.W), values(before.Params()[i].Grad)
		for j, m := range values(opt.m[i]) {
			square += float64(m) * float64(m)
			// Epsilon takes 1e-8 of a clipped gradient of 1e-5 or more, float32 1e-7 of a weight of 4.
			if moved := math.Abs(float64(is[j] - was[j])); math.Abs(float64(grad[j])) > 1e-4 && math.Abs(moved-rate) > 0.01*rate {
				t.Fatalf("parameter %d moved by %v, want %v", i, moved, rate)
			}
		}
	}
	if want := 0.1 * c.Clip; !(math.Abs(math.Sqrt(square)/want-1) < 1e-4) {
		t.Errorf("the first moment is %v long, want %v: a tenth of the clipped gradient", math.Sqrt(square), want)
	}
}

// What is exported is the student that did best, though it is trained further: here
// the start, where the learning rate is high and the text another one, and where it is
// lower and the text that it was trained on a later one.
func TestExport(t *testing.T) {
	long.Sequential(t)
	t.Run("start", func(t *testing.T) { testExport(t, 3e-3, data(2, 6)) })
	t.Run("trained", func(t *testing.T) { testExport(t, 1e-3, data(1, 30)) })
}

func testExport(t *testing.T, rate float64, held *Data) {
	dir, c := t.TempDir(), config()
	c.EvalEvery, c.LearningRate, c.Soft = 2, rate, 1
	var best, last Line
	err := start(context.Background(), dir, 2, c, Options{
		Held: held,
		Log: func(l Line) {
			if l.Held {
				if last = l; best.KL == 0 || l.KL < best.KL {
					best = l
				}
			}
		},
		Export: func(_ context.Context, path string, m *nn.Model, s Summary) error {
			if path != filepath.Join(dir, studentName) || s.Steps != int64(best.Step) || s.Tokens != best.Tokens {
				t.Errorf("%s after %+v, want the student of step %d", path, s, best.Step)
			}
			dev, err := cpu.New(1, "")
			if err != nil {
				return err
			}
			defer dev.Close()
			float, err := nn.New(dev, teacher(), nn.Options{Quantization: floats(), MaxTokens: 16, MaxLength: 16})
			if err != nil {
				return err
			}
			float.Prepare()
			m.Prepare()
			var sum nn.Stats
			for i := range held.Len() {
				s, err := m.Evaluate(float, nn.Batch{held.Window(i)}, nn.Loss{})
				if err != nil {
					return err
				}
				sum.Add(s)
			}
			// Sums of passes of one window and of two differ in float64 alone.
			if kl := sum.KL / float64(sum.Tokens); !(math.Abs(kl/best.KL-1) < 1e-9) {
				t.Errorf("its KL is %v, want %v", kl, best.KL)
			}
			return nil
		},
	})
	if err != nil || (best.Step == 0) != (rate == 3e-3) {
		t.Errorf("the best was step %d, the last %d: %v", best.Step, last.Step, err)
	}
}

// Nobody is told that a state is saved which is not.
func TestInterruptUnsaved(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	err := start(ctx, dir, 2, config(), Options{Log: func(l Line) {
		if l.Step == 11 {
			cancel()
			os.Mkdir(filepath.Join(dir, ".stopped.safetensors.partial"), 0o777)
		}
	}})
	if err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "not saved") {
		t.Errorf("ended with %v, want the reason why the state is not saved", err)
	}
}

// A run that was stopped after it went back has the log and the weights of one that was
// left alone: with the steps before and after that.
func TestRollBackAndResume(t *testing.T) {
	long.Sequential(t)
	dev, err := cpu.New(1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	do := func(interrupt int) string {
		dir := t.TempDir()
		lines := 0
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		// Steps 10 to 14 are bad: back to step 8, in other words.
		o := Options{Reducer: &spoiler{dev: dev, spoil: func(n int) bool { return n >= 10 && n < 10+badSteps }}, Log: func(Line) {
			if lines++; lines == interrupt {
				cancel()
			}
		}}
		err := start(ctx, dir, 1, config(), o)
		if interrupt > 0 {
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("interrupted, it ended with %v", err)
			}
			o.Resume = true
			err = start(context.Background(), dir, 1, config(), o)
		}
		if err != nil {
			t.Fatal(err)
		}
		return outcome(t, dir)
	}
	want := do(0)
	var nines []string
	for line := range strings.Lines(want) {
		if strings.HasPrefix(line, `{"step":9,`) {
			nines = append(nines, line)
		}
	}
	if !strings.Contains(want, `{"step":14,`) || len(nines) != 2 || nines[0] == nines[1] {
		t.Errorf("no steps up to 14 and again from 9 on, of other data:\n%s", want)
	}
	for _, n := range []int{13, 16, 25} { // amid the bad steps, at their end and behind them
		if got := do(n); got != want {
			t.Errorf("interrupted after %d lines:\n%s\nalone:\n%s", n, got, want)
		}
	}
}

func TestResumeRefuses(t *testing.T) {
	long.Sequential(t)
	dir := t.TempDir()
	if err := start(context.Background(), dir, 2, config(), Options{}); err != nil {
		t.Fatal(err)
	}
	if err := start(context.Background(), dir, 2, config(), Options{}); err == nil || !strings.Contains(err.Error(), "--resume") {
		t.Errorf("a second run in the folder: %v", err)
	}
	c := config()
	c.LearningRate = 0.5
	if err := start(context.Background(), dir, 2, c, Options{Resume: true}); err == nil || !strings.Contains(err.Error(), "learning_rate 0.003, now 0.5") {
		t.Errorf("other settings: %v", err)
	}
	if err := start(context.Background(), dir, 2, config(), Options{Resume: true, Data: data(4, 30)}); err == nil || !strings.Contains(err.Error(), "data sha256:") {
		t.Errorf("other data: %v", err)
	}
	if err := start(context.Background(), dir, 2, config(), Options{Resume: true, Held: data(4, 6)}); err == nil || !strings.Contains(err.Error(), "held sha256:") {
		t.Errorf("other windows to evaluate on: %v", err)
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, configName), []byte(`{"steps":`), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := start(context.Background(), broken, 2, config(), Options{Resume: true}); err == nil || !strings.Contains(err.Error(), "not a run's config") {
		t.Errorf("a broken config: %v", err)
	}
	none := filepath.Join(t.TempDir(), "none")
	if err := start(context.Background(), none, 2, config(), Options{Resume: true}); err == nil || !strings.Contains(err.Error(), none+": no run is there") {
		t.Errorf("no run: %v", err)
	}
	newest := filepath.Join(dir, "step-000000000040.safetensors")
	whole, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 40 {
		broken := slices.Clone(whole)
		if n := r.IntN(len(broken)); r.IntN(2) == 0 {
			broken = broken[:n]
		} else {
			broken[n] ^= 1 << r.IntN(8)
		}
		if err := os.WriteFile(newest, broken, 0o666); err != nil {
			t.Fatal(err)
		}
		err := start(context.Background(), dir, 2, config(), Options{Resume: true})
		if err == nil || !errors.Is(err, ErrCheckpoint) || !strings.Contains(err.Error(), newest) || !strings.Contains(err.Error(), "remove it") {
			t.Fatalf("%d of %d bytes: %v, want ErrCheckpoint that names the file", len(broken), len(whole), err)
		}
	}
}

// spoiler makes gradients NaN in some steps.
type spoiler struct {
	dev   kernels.Memory
	step  int
	spoil func(step int) bool
}

func (s *spoiler) Worker() (i, of int)      { return 0, 1 }
func (s *spoiler) SumStats(*nn.Stats) error { return nil }
func (s *spoiler) Sum(grads []kernels.Floats) error {
	if s.step++; s.spoil(s.step) {
		kernels.Upload(s.dev, grads[0].Buf, []float32{float32(math.NaN())})
	}
	return nil
}

func TestNaN(t *testing.T) {
	long.Sequential(t)
	dev, err := cpu.New(1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for _, c := range []struct {
		name    string
		spoil   func(step int) bool
		skipped int
		want    error
	}{
		{"two steps", func(n int) bool { return n == 6 || n == 7 }, 2, nil},
		{"a rollback", func(n int) bool { return n >= 10 && n < 10+badSteps }, badSteps, nil},
		{"for good", func(n int) bool { return n > 10 }, 0, ErrDiverged},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			skipped := 0
			err := start(context.Background(), dir, 1, config(), Options{Reducer: &spoiler{dev: dev, spoil: c.spoil}, Log: func(l Line) {
				if l.Skipped {
					skipped++
				}
				if !l.Skipped && !finite(l.KL) {
					t.Errorf("step %d: KL %v", l.Step, l.KL)
				}
			}})
			if !errors.Is(err, c.want) || c.want == nil && (err != nil || skipped != c.skipped) {
				t.Errorf("%d steps skipped, %v; want %d, %v", skipped, err, c.skipped, c.want)
			}
		})
	}
}

func TestGradCheck(t *testing.T) {
	dev, err := cpu.New(2, "")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for _, weights := range [][2]float64{{0, 0}, {1, 0}, {0, 1}} {
		c := config()
		c.AttentionLoss, c.HiddenLoss = weights[0], weights[1]
		list, err := GradCheck(dev, teacher(), data(1, 10), c)
		if err != nil || len(list) == 0 {
			t.Fatalf("%d parameters, %v", len(list), err)
		}
		for _, g := range list {
			if !(math.Abs(g.Ratio-1) < 0.05) {
				t.Errorf("attention and hidden losses of %v: %v: ratio %v", weights, g.Param.Tensors, g.Ratio)
			}
		}
	}
}

func TestData(t *testing.T) {
	for _, n := range []int{1, 2, 3, 63, 64, 65, 1000} {
		seen := map[int]bool{}
		for i := range n {
			seen[shuffled(i, n, 7, 2)] = true
		}
		if len(seen) != n {
			t.Errorf("of %d windows %d come in an epoch", n, len(seen))
		}
	}
	// Steps of 7 windows: each epoch has each of them once, in an order of its own.
	long := data(1, 12)
	var epochs [3][]*int32
	for step := range 10 {
		for i, w := range long.batch(nil, step, 7, 5) {
			if e := (step*7 + i) / long.Len(); e < len(epochs) {
				epochs[e] = append(epochs[e], &w[0])
			}
		}
	}
	if slices.Equal(epochs[0], epochs[1]) || slices.Equal(epochs[1], epochs[2]) {
		t.Error("two epochs have one order")
	}
	for e, list := range epochs {
		seen := map[*int32]bool{}
		for _, w := range list {
			seen[w] = true
		}
		if len(list) != long.Len() || len(seen) != long.Len() {
			t.Errorf("epoch %d has %d windows, %d different ones, of %d", e, len(list), len(seen), long.Len())
		}
	}
	d := &Data{}
	d.Add([]int32{1, 2, 3, 4, 5, 6, 7}, 3)
	d.Add([]int32{8}, 3)
	if other := (&Data{}); d.Hash() == other.Hash() {
		t.Error("no windows have the hash of some")
	}
	cut := &Data{}
	cut.Add([]int32{1, 2, 3, 4, 5, 6}, 2)
	if d.Hash() == cut.Hash() {
		t.Error("the same ids in other windows have the same hash")
	}
	if d.Len() != 2 || d.Tokens() != 6 || !slices.Equal(d.Window(1), []int32{4, 5, 6}) {
		t.Errorf("%d windows of %d tokens", d.Len(), d.Tokens())
	}
}

// A logarithm takes no zeros, and a step without a number has none to draw.
func TestCurves(t *testing.T) {
	panels := curves([]Line{{Step: 1, KL: 2}, {Step: 2, KL: math.MaxFloat64}, {Step: 3, KL: 0}, {Step: 4, KL: 1}, {Step: 4, Held: true, KL: 3}})
	if len(panels) != 1 || len(panels[0].Lines) != 2 || !slices.Equal(panels[0].Lines[0].X, []float64{1, 4}) || !slices.Equal(panels[0].Lines[1].Y, []float64{3}) {
		t.Errorf("%+v, want steps 1 and 4 of training and 4 of held-out text", panels)
	}
}

// Of many layers a panel shows the first, the last and some between.
func TestCurvesOfLayers(t *testing.T) {
	names := func(panel int, layers int) (all []string) {
		e := Errors{KV: []float64{1, 2}, Weights: make([]float64, layers)}
		for i := range e.Weights {
			e.Weights[i] = float64(i + 1)
		}
		panels := curves([]Line{{Step: 1, Held: true, Errors: e}, {Step: 2, Held: true}, {Step: 3, Held: true, Errors: e}})
		for _, l := range panels[panel].Lines {
			all = append(all, l.Name)
			if i, _ := strconv.Atoi(strings.TrimPrefix(l.Name, "layer ")); !slices.Equal(l.X, []float64{1, 3}) || !slices.Equal(l.Y, []float64{float64(i + 1), float64(i + 1)}) {
				t.Errorf("%+v, want %d at steps 1 and 3", l, i+1)
			}
		}
		return all
	}
	for layers, want := range map[int]string{1: "layer 0", 3: "layer 0,layer 1,layer 2", 32: "layer 0,layer 6,layer 12,layer 18,layer 24,layer 31"} {
		if got := strings.Join(names(0, layers), ","); got != want {
			t.Errorf("%d layers: lines %s, want %s", layers, got, want)
		}
	}
	if got := strings.Join(names(1, 32), ","); got != "layer 0,layer 1" {
		t.Errorf("K and V: lines %s", got)
	}
}

func TestPlan(t *testing.T) {
	c := config()
	d := data(1, 30)
	p, err := PlanOf(c, teacher().Config(), d.Tokens(), d.Longest())
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	m, err := nn.New(dev, teacher(), nn.Options{Quantization: c.Quantization, Train: true, MaxTokens: 16, MaxLength: 16})
	if err != nil {
		t.Fatal(err)
	}
	o, err := newOptimizer(dev, m.Params())
	if err != nil {
		t.Fatal(err)
	}
	moments := int64(0)
	for i := range o.m {
		moments += int64(o.m[i].N+o.v[i].N) * 4
	}
	if p.Moments != moments || p.StepTokens != 5*16 || p.Data != int64(4*d.Tokens()) {
		t.Errorf("%+v, want moments of %d bytes", p, moments)
	}
	// Two layers of q and o [24, 24], k and v [12, 24], gate, up and down [24, 36], and
	// lm_head [40, 24]; scores and values of 24 columns over 8 tokens in the mean.
	token := 2*(2*24*24+2*12*24+3*24*36) + 40*24 + 2*(2*24*8)
	if want := 4 * float64(token*5*16); p.MACs != want {
		t.Errorf("%v multiply-adds, want %v", p.MACs, want)
	}
	longer := c // which the data's windows are not
	longer.Length = 60
	if same, err := PlanOf(longer, teacher().Config(), d.Tokens(), d.Longest()); err != nil || same != p {
		t.Errorf("for windows of up to 60 tokens, of which none has more than 16: %+v, want %+v (%v)", same, p, err)
	}
	// Beside them, with attention's loss, twice the scores of both models; and the teacher's q
	// [24], k and v [12], padded to 64, and sums and maxima [8], kept of a second layer.
	c.AttentionLoss = 1
	if maps, err := PlanOf(c, teacher().Config(), d.Tokens(), d.Longest()); err != nil || maps.MACs != p.MACs+float64(4*2*24*8*5*16) || maps.Bytes()-p.Bytes() != 2*16*(64+64)*4 {
		t.Errorf("with --attention-loss %v bytes and %v multiply-adds, without %v and %v (%v)", maps.Bytes(), maps.MACs, p.Bytes(), p.MACs, err)
	}
	c.AttentionLoss, c.TopK = 0, 4
	// Of the teacher's four likeliest tokens a row of ids and one of 5 logarithms, padded.
	if known, err := PlanOf(c, teacher().Config(), d.Tokens(), d.Longest()); err != nil || known.MACs != 0.75*p.MACs || known.Bytes()-p.Bytes() != 2*16*(4+64)*4 {
		t.Errorf("with stored logits %v bytes and %v multiply-adds, without %v and %v (%v)", known.Bytes(), known.MACs, p.Bytes(), p.MACs, err)
	}
	c.TopK = 0
	c.Recompute = true
	if again, err := PlanOf(c, teacher().Config(), d.Tokens(), d.Longest()); err != nil || again.MACs != 1.25*p.MACs || again.Bytes() >= p.Bytes() {
		t.Errorf("with --recompute %v bytes and %v multiply-adds, without %v and %v (%v)", again.Bytes(), again.MACs, p.Bytes(), p.MACs, err)
	}
}

func TestConfig(t *testing.T) {
	m := teacher().Config()
	c, err := Config{Quantization: config().Quantization, Soft: 1, LearningRate: 1e-3}.Resolve(m)
	if err != nil || c.Length != 64 || c.Batch != 32 || c.Pass != 32 || c.Keep != 2 {
		t.Errorf("defaults are %+v, %v", c, err)
	}
	for want, change := range map[string]func(c *Config){
		"length is 65": func(c *Config) { c.Length = 65 }, "pass is 9": func(c *Config) { c.Pass = 9 }, "learning rate is -1": func(c *Config) { c.LearningRate = -1 },
		"learning rate is 0": func(c *Config) { c.LearningRate = 0 },
		"warmup is 99":       func(c *Config) { c.Warmup = 99 }, "soft is 2": func(c *Config) { c.Soft = 2 }, "3 bits": func(c *Config) { c.Quantization.Bits.W = 3 },
		"attention loss is -1": func(c *Config) { c.AttentionLoss = -1 }, "hidden loss is 0.5, want 0": func(c *Config) { c.HiddenLoss, c.Start = 0.5, "clip+hadamard" },
		"gate is -1": func(c *Config) { c.Gate = -1 }, `start: method "magic"`: func(c *Config) { c.Start = "magic" },
		"no steps to learn": func(c *Config) { c.Quantization.Bits = quant.Bits{W: 16, A: 16, KV: 4} },
	} {
		c := config()
		change(&c)
		if _, err := c.Resolve(m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one that says %q", err, want)
		}
	}
	for want, change := range map[string]func(c *Config){
		"KV scheme is \"head-zp\"": func(c *Config) { c.Quantization.KVScheme = quant.KVHeadZP }, "lm_head is 8": func(c *Config) { c.Quantization.LMHeadBits = 8 },
		"gate is 1,": func(c *Config) { c.Gate = 1 }, "clip of the gradient is 0": func(c *Config) { c.Clip = 0 }, "soft is 0.5": func(c *Config) { c.Soft = 0.5 },
		"learned steps is true": func(c *Config) { c.LearnSteps = true }, "start is \"clip\"": func(c *Config) { c.Start = "clip" }, "": func(c *Config) {},
	} {
		c := compat()
		c.Gate = 0
		change(&c)
		if c, err := c.Resolve(m); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || err == nil && c.Gate != 2 {
			t.Errorf("compat: gate %v, %v, want an error that says %q", c.Gate, err, want)
		}
	}
	c = config()
	if a, b, end := c.rate(0), c.rate(3), c.rate(40); math.Abs(a-1e-3) > 1e-9 || math.Abs(b-3e-3) > 1e-9 || math.Abs(end) > 1e-12 {
		t.Errorf("learning rates %v, %v and %v", a, b, end)
	}
}
