// Package report puts the quality and the speed of a set of models side by side: it makes what
// is to be compared of one float model, measures all of it, and writes pages that need nothing
// but themselves.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/llmqat/llmqat/bench"
	"github.com/llmqat/llmqat/eval"
)

// formatVersion is that of report.json.
const formatVersion = 1

// Report is what report.json holds: all that the pages show, and every sample.
type Report struct {
	Format int   `json:"format"`
	Sets   []Set `json:"sets"`
}

// Set is one teacher, and the models that are held against it.
type Set struct {
	Title   string    `json:"title"`
	Date    time.Time `json:"date"` // of the last measurement
	Command string    `json:"command"`
	Version string    `json:"version"` // of llmqat
	Teacher Teacher   `json:"teacher"`
	Texts   []Text    `json:"texts"`
	Models  []Model   `json:"models"` // the first is the base of ratios
	Speed   *Speed    `json:"speed"`  // of all of them, measured in turn
	Notes   []string  `json:"notes,omitempty"`
}

// Teacher is the float model that the others come from.
type Teacher struct {
	Name       string `json:"name"`
	Hash       string `json:"hash"` // "sha256:..." of its files' bytes
	Parameters int64  `json:"parameters"`
	Layers     int    `json:"layers"`
	Vocabulary int    `json:"vocabulary"`
	Context    int    `json:"context"`
}

// Text is one that quality is measured on.
type Text struct {
	Name    string `json:"name"`
	Is      string `json:"is"` // what its windows are
	Windows int    `json:"windows"`
	Hash    string `json:"hash"` // "sha256:..." of their token ids
}

// Model is one row.
type Model struct {
	Name       string `json:"name"`
	File       string `json:"file"`
	Hash       string `json:"hash"` // "sha256:..." of the .qat file
	Bits       string `json:"bits"` // W-A-KV
	KVScheme   string `json:"kv_scheme,omitempty"`
	Float      string `json:"float"`
	LMHeadBits int    `json:"lm_head_bits"`
	Method     string `json:"method"`
	Steps      int64  `json:"steps,omitempty"` // of training

	// Of the roofline: multiplications for each decoded token, and for each token of its context.
	MACs          int64 `json:"macs_per_decoded_token"`
	AttentionMACs int64 `json:"macs_per_token_of_context"`

	Quality []Quality `json:"quality"`         // on each text
	Tasks   *Tasks    `json:"tasks,omitempty"` // nil where there are none
}

// Quality is how near a model comes to its teacher on a text.
type Quality struct {
	Key string `json:"key"` // of all that the figures depend on
	eval.Result
}

// Speed is how fast all models of a set are.
type Speed struct {
	Key     string `json:"key"`
	Prompt  int    `json:"prompt"`  // tokens prefilled
	Context int    `json:"context"` // tokens before the decoded ones
	Batch   int    `json:"batch"`   // sequences decoded together
	Decode  int    `json:"decode"`  // tokens a sample
	Pass    int    `json:"pass"`    // tokens of a prompt's passes
	bench.Report
}

// Load reads the report.json at path, or in the folder there.
func Load(path string) (*Report, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, jsonName)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w: want the report.json that bench report writes", path, err)
	}
	if r.Format != formatVersion {
		return nil, fmt.Errorf("%s: format %d of a report, this bench reads %d: measure again by bench report", path, r.Format, formatVersion)
	}
	for i := range r.Sets {
		if err := r.Sets[i].whole(); err != nil {
			return nil, fmt.Errorf("%s: %q: %w: run its bench report again, which goes on where it was stopped", path, r.Sets[i].Title, err)
		}
	}
	return r, nil
}

// whole checks that everything was measured.
func (s *Set) whole() error {
	if s.Speed == nil || len(s.Models) == 0 || len(s.Texts) == 0 {
		return fmt.Errorf("%d models, %d texts, speeds of none", len(s.Models), len(s.Texts))
	}
	if n := len(s.Speed.Models); n != len(s.Models) {
		return fmt.Errorf("%d models, and speeds of %d", len(s.Models), n)
	}
	if len(s.Speed.Machine.Ceilings) != 1 {
		return fmt.Errorf("ceilings of %d numbers of threads, want 1", len(s.Speed.Machine.Ceilings))
	}
	for i, m := range s.Models {
		if len(m.Quality) != len(s.Texts) {
			return fmt.Errorf("%s has figures on %d of %d texts", m.Name, len(m.Quality), len(s.Texts))
		}
		for _, q := range m.Quality {
			if q.Comparison == nil {
				return fmt.Errorf("%s was not compared with its teacher", m.Name)
			}
		}
		if m.Tasks != nil && len(m.Tasks.Tasks) == 0 {
			return fmt.Errorf("%s was not asked its tasks", m.Name)
		}
		if v := s.Speed.Models[i]; len(v.Prefill) != 1 || len(v.Decode) != 2 || v.KVTokenBytes < 1 {
			return fmt.Errorf("%s has %d speeds of prefill and %d of decode, want 1 and 2", m.Name, len(v.Prefill), len(v.Decode))
		}
	}
	return s.sameTasks()
}

// Merge puts the sets of several reports into one.
func Merge(paths []string) (*Report, error) {
	all := &Report{Format: formatVersion}
	for _, path := range paths {
		r, err := Load(path)
		if err != nil {
			return nil, err
		}
		all.Sets = append(all.Sets, r.Sets...)
	}
	return all, nil
}
