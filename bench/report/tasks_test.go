package report

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Other examples under the same name are another question: the figures of the earlier ones do not stand.
func TestOtherExamples(t *testing.T) {
	items := func(name, word string) {
		lines := strings.Repeat(`{"goal":"`+word+`","sol1":"`+word+` the red ball","sol2":"a dog","label":0}`+"\n", 3)
		if err := os.WriteFile(name, []byte(lines), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	dir, shots := t.TempDir(), t.TempDir()
	examples := filepath.Join(shots, "piqa.train.jsonl")
	items(filepath.Join(dir, "piqa.jsonl"), "take")
	items(examples, "give")
	o := small(t)
	o.Settings, o.Models = []string{"4-8-4"}, nil
	o.Tasks, o.TaskData, o.ShotsData, o.Shots = []string{"piqa"}, dir, shots, 2
	asked := func() Tasks {
		t.Helper()
		r, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return *r.Sets[0].Models[0].Tasks
	}
	first := asked()
	if again := asked(); !reflect.DeepEqual(again, first) {
		t.Errorf("the same examples: %+v, then %+v", first, again)
	}
	items(examples, "sell")
	if other := asked(); other.Key == first.Key {
		t.Error("other examples have the figures of the earlier ones")
	}
	found, err := filepath.Glob(filepath.Join(o.Out, "items", "*.jsonl"))
	if err != nil || len(found) != 4 {
		t.Errorf("%d files of items, want the teacher's and the model's for each file of examples: %v", len(found), err)
	}
}
