package bench

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunTrain(t *testing.T) {
	cache := t.TempDir()
	o := Options{
		Device: "cpu", Shape: "stories260k", Settings: []string{"16-16-16", "4-8-4"}, Contexts: []int{30}, Batches: []int{3},
		Repeats: twice(), Threads: []int{1, 2}, Cache: cache, readSize: 1 << 20,
	}
	r, err := RunTrain(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range r.Models {
		if len(m.Rates) != 2 {
			t.Fatalf("%s: %d rates, want 2", m.Name, len(m.Rates))
		}
		// The layers' products, the head's, and causal attention's 30 positions twice, half of
		// which count.
		const token = 5*(64*128+64*64+64*344+172*64) + 64*512 + 5*64*30
		for i, v := range m.Rates {
			if v.Windows != 3 || v.Threads != 1+i || v.Length != 30 || v.MACs != 4*token*3*30 {
				t.Errorf("%s: %+v, want 3 windows, %d threads, %d MACs", m.Name, v, 1+i, 4*token*3*30)
			}
			if v.PerSec <= 0 || v.Seconds <= 0 || v.Share <= 0 || v.Share > 1 || len(v.All) != o.Repeats {
				t.Errorf("%s: %+v", m.Name, v)
			}
		}
	}
	if left, _ := os.ReadDir(cache); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	base := filepath.Join(t.TempDir(), "out")
	if err := Save(r, base); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(base + ".txt")
	for _, want := range []string{"stories260k, training steps", "step of 3 × 30 tokens, 2 threads, tokens/s", "4-8-4 head-zp", "share of float32 peak", "against 1 thread"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
	var back TrainReport
	b, _ := os.ReadFile(base + ".json")
	if err := json.Unmarshal(b, &back); err != nil || back.Models[1].Rates[1].PerSec != r.Models[1].Rates[1].PerSec {
		t.Errorf("JSON does not come back: %v", err)
	}
}

// What fails ends the run, with what is wrong.
func TestTrainFails(t *testing.T) {
	o := Options{Device: "cpu", Shape: "stories260k", Settings: []string{"4-8-4"}, Contexts: []int{1}}
	if _, err := RunTrain(t.Context(), o); err == nil || !strings.Contains(err.Error(), "length is 1") {
		t.Errorf("windows of one token: error %v", err)
	}
	o = Options{Device: "cpu", Models: []string{"a", "b"}}
	if _, err := RunTrain(t.Context(), o); err == nil || !strings.Contains(err.Error(), "2 models") {
		t.Errorf("two teachers: error %v", err)
	}
}
