package bench

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunGenerate(t *testing.T) {
	o := Options{Device: "cpu", Shape: "stories260k", Settings: []string{"16-16-16", "4-8-4"}, Repeats: twice(), Cache: t.TempDir(), readSize: 1 << 20}
	r, err := RunGenerate(t.Context(), o, Workload{5, 7, 70})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Models {
		if m.PerSec <= 0 || len(m.All) != o.Repeats || m.Share <= 0 || m.FirstToken <= 0 || m.Seconds < m.FirstToken {
			t.Errorf("%+v", m)
		}
		// The prompts make one pass, whose logits give the first tokens. Where requests come
		// slower than the loop steps, every sequence adds steps of its own, up to all of them.
		if m.Steps < 70 || m.Steps > 5*70 || m.Held != 5 {
			t.Errorf("%s: %d steps, %d sequences held; want 70 to 350 and 5", m.Name, m.Steps, m.Held)
		}
	}
	base := filepath.Join(t.TempDir(), "out")
	if err := Save(r, base); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(base + ".txt")
	for _, want := range []string{"5 sequences, 7 tokens in, 70 out", "4-8-4 head-zp", "generated, tokens/s", "read bandwidth"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
	var back GenerateReport
	b, _ := os.ReadFile(base + ".json")
	if err := json.Unmarshal(b, &back); err != nil || back.Workload != (Workload{5, 7, 70}) || back.Models[1].PerSec != r.Models[1].PerSec {
		t.Errorf("JSON does not come back: %v", err)
	}
}

func TestParseWorkload(t *testing.T) {
	if w, err := ParseWorkload("120,128,2048"); err != nil || w != (Workload{120, 128, 2048}) {
		t.Errorf("%v, error %v", w, err)
	}
	for _, s := range []string{"", "1,2", "1,2,3,4", "0,1,1", "1,-1,1", "1,1,x"} {
		if _, err := ParseWorkload(s); err == nil || !strings.Contains(err.Error(), "SEQS,IN,OUT") {
			t.Errorf("%q: error %v", s, err)
		}
	}
}

// What fails ends the run: here a context that the model's own memory cannot have.
func TestGenerateFails(t *testing.T) {
	o := Options{Device: "cpu", Shape: "stories260k", Settings: []string{"4-8-4"}, Cache: t.TempDir()}
	if _, err := RunGenerate(t.Context(), o, Workload{1, 1 << 20, 1}); err == nil || !strings.Contains(err.Error(), "context of 1048577") {
		t.Errorf("error %v", err)
	}
	o.Threads = []int{1, 2}
	if _, err := RunGenerate(t.Context(), o, Workload{1, 1, 1}); err == nil || !strings.Contains(err.Error(), "takes one") {
		t.Errorf("error %v", err)
	}
	if _, err := RunProfile(t.Context(), o); err == nil || !strings.Contains(err.Error(), "takes one") {
		t.Errorf("error %v", err)
	}
}
