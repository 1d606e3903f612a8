package train

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/llmqat/llmqat/internal/replace"
	"github.com/llmqat/llmqat/train/nn"
)

// Line is what a run says of a step, on the text that it was trained on, or of an
// evaluation on held-out text: means per token. TokensPerSecond and what follows are
// the only fields that differ between two runs of the same Config.
type Line struct {
	Step       int     `json:"step"`
	Held       bool    `json:"held,omitempty"`
	Tokens     int64   `json:"tokens"` // trained on so far
	KL         float64 `json:"kl"`     // nats
	CE         float64 `json:"ce"`
	Perplexity float64 `json:"ppl"`
	TeacherPPL float64 `json:"teacher_ppl"`
	Agreement  float64 `json:"top1"` // part of the tokens
	// Beside what the teacher has, where the loss has weights for them: nn.Stats. Nats, and
	// parts of the teacher's square, summed over layers.
	Attention float64 `json:"attention,omitempty"`
	Hidden    float64 `json:"hidden,omitempty"`
	Errors
	GradNorm     float64 `json:"grad_norm,omitempty"`
	LearningRate float64 `json:"lr,omitempty"`
	Skipped      bool    `json:"skipped,omitempty"`

	Served *Served `json:"served,omitempty"` // of an evaluation: the student as it is served
	RTN    *Served `json:"rtn,omitempty"`    // of the first: the teacher rounded to nearest, as it is served

	TokensPerSecond float64 `json:"tok_s,omitempty"`
	Seconds         float64 `json:"seconds,omitempty"`
	ETA             float64 `json:"eta_s,omitempty"`
}

// Errors are what an evaluation finds rounding to take, Σ(x̂-x)²/Σx²: of all rounded
// weights, and of each decoder layer's. Activations and KV are those of the first
// windows that go through the model. What is not rounded is left out.
type Errors struct {
	Weight      float64   `json:"weight_error,omitempty"`
	Weights     []float64 `json:"weight_errors,omitempty"`
	Activations []float64 `json:"activation_errors,omitempty"`
	KV          []float64 `json:"kv_errors,omitempty"`
}

func newErrors(e nn.Errors) Errors {
	some := func(layers []float64) []float64 {
		if slices.Max(layers) == 0 {
			return nil
		}
		return layers
	}
	return Errors{e.Weight, some(e.Weights), some(e.Activations), some(e.KV)}
}

func newLine(step int, tokens int64, s nn.Stats) Line {
	n := float64(max(s.Tokens, 1))
	l := Line{Step: step, Tokens: tokens, KL: s.KL / n, CE: s.CE / n, Agreement: s.Same / n}
	positions := float64(max(s.Positions, 1))
	l.Attention, l.Hidden = s.Attention/positions, s.Hidden/positions
	l.Perplexity, l.TeacherPPL = math.Exp(l.CE), math.Exp(s.TeacherCE/n)
	return l
}

func (l *Line) time(start time.Time, tokens, stepsLeft int) {
	l.Seconds = time.Since(start).Seconds()
	l.TokensPerSecond = float64(tokens) / l.Seconds
	l.ETA = l.Seconds * float64(stepsLeft)
}

// logFile is a run's log, JSON Lines.
type logFile struct {
	f     *os.File
	w     *bufio.Writer
	lines int
}

// openLog opens a log for what follows its first n lines: of a run that went further
// before it was killed, the rest is cut off, for it comes again.
func openLog(path string, n int) (*logFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	keep, lines := int64(0), 0
	for text := bufio.NewReader(f); lines < n; lines++ {
		line, err := text.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			f.Close()
			return nil, err
		}
		if err != nil || json.Unmarshal(line, new(Line)) != nil {
			break // somebody changed it: what is left of it will do
		}
		keep += int64(len(line))
	}
	_, err = f.Seek(keep, io.SeekStart)
	if err := errors.Join(err, f.Truncate(keep)); err != nil {
		f.Close()
		return nil, err
	}
	return &logFile{f, bufio.NewWriter(f), lines}, nil
}

func (l *logFile) write(line Line) error {
	clamp(&line.KL, &line.CE, &line.Perplexity, &line.TeacherPPL, &line.Attention, &line.Hidden, &line.GradNorm)
	line.Served.clamp()
	line.RTN.clamp()
	b, err := json.Marshal(line)
	if err != nil {
		return err
	}
	l.lines++
	_, err = l.w.Write(append(b, '\n'))
	return errors.Join(err, l.w.Flush())
}

// clamp makes of what is no number the greatest, for JSON has no infinities.
func clamp(list ...*float64) {
	for _, v := range list {
		if !finite(*v) {
			*v = math.MaxFloat64
		}
	}
}

func (l *logFile) sync() error { return errors.Join(l.w.Flush(), l.f.Sync()) }

func (l *logFile) close() { l.w.Flush(); l.f.Close() }

// ReadLog returns the lines of a run's log.
func ReadLog(path string) ([]Line, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []Line
	d := json.NewDecoder(f)
	for {
		var l Line
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return lines, nil
		} else if err != nil {
			return lines, fmt.Errorf("%s: line %d: %w", path, len(lines)+1, err)
		}
		lines = append(lines, l)
	}
}

func saveConfig(path string, c Config) error {
	return replace.File(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(c)
	})
}

// LoadConfig reads the config of a run; without one it returns os.ErrNotExist.
func LoadConfig(path string) (c Config, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("%s: not a run's config: %w: choose another folder", path, err)
	}
	return c, nil
}
