package task

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Examples from a file are its first; those of the items' own file are drawn. None is the item
// itself, nor one that says the same.
func TestShots(t *testing.T) {
	var lines strings.Builder
	for _, goal := range []string{"a", "b", "a", "c", "d"} {
		lines.WriteString(`{"goal":"` + goal + `","sol1":"x","sol2":"y","label":0}` + "\n")
	}
	dir := write(t, "piqa.jsonl", lines.String())
	if err := os.WriteFile(filepath.Join(dir, "piqa.train.jsonl"), []byte(lines.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	goals := func(o Options, i int) (goals string) {
		o.Tasks, o.Dir = []string{"piqa"}, dir
		shots, err := load(t, o)[0].examples(i)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range shots {
			goals += s.Question
		}
		return goals
	}
	for i, want := range []string{"bc", "aa", "bc", "ab", "ab"} {
		if got := goals(Options{Shots: 2, ShotsDir: dir}, i); got != want {
			t.Errorf("from a file, before item %d: %q, want %q", i, got, want)
		}
	}
	drawn := map[string]bool{}
	for seed := range uint64(40) {
		o := Options{Shots: 3, Seed: seed, Limit: 1}
		got := goals(o, 0)
		if strings.Contains(got, "a") || got != goals(o, 0) {
			t.Errorf("seed %d, before item 0: %q, then %q", seed, got, goals(o, 0))
		}
		drawn[got] = true
	}
	if len(drawn) != 6 {
		t.Errorf("drawn: %v, want all orders of b, c, d", drawn)
	}
	if a := goals(Options{Shots: 3}, 1) + goals(Options{Shots: 3}, 3) + goals(Options{Shots: 3}, 4); strings.Count(a, a[:1]) == 9 {
		t.Errorf("all items have the same: %q", a)
	}
	for _, o := range []Options{{Shots: 4, ShotsDir: dir}, {Shots: 4}} {
		o.Tasks, o.Dir = []string{"piqa"}, dir
		if _, err := load(t, o)[0].prompt(0); err == nil || !strings.Contains(err.Error(), "5 items, want 4 examples besides") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// Nobody's number of examples is each task's own.
func TestOwnShots(t *testing.T) {
	o := Options{Tasks: []string{"all", "mmlu_elementary_mathematics"}, Dir: "testdata/original", Shots: -1}
	for _, s := range load(t, o) {
		want := 0
		if s.subject != "" {
			want = 5
		}
		if s.Shots != want {
			t.Errorf("%s: %d examples, want %d", s.Name, s.Shots, want)
		}
	}
	o.Limit = 1
	if got := load(t, o); len(got[0].Items) != 1 || got[0].All != 2 || !reflect.DeepEqual(got[0].Items[0].Choices, []string{"no", "yes"}) {
		t.Errorf("limit 1: %+v", got[0])
	}
}
