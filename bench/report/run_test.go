package report

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/kernels/quant"
)

const (
	demoTeacher = "../../cmd/llmqat-serve/demo/stories260K-float.qat"
	demoStudent = "../../cmd/llmqat-serve/demo/stories260K.qat"
	story       = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big red ball. "
)

// small is a report that takes a moment.
func small(t *testing.T) Options {
	text := filepath.Join(t.TempDir(), "story.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat(story, 4)), 0o666); err != nil {
		t.Fatal(err)
	}
	return Options{
		Teacher: demoTeacher, Settings: []string{"16-16-16", "4-8-4"}, Models: []string{demoStudent}, LMHeadBits: 16, Float: "f16",
		Tasks: []string{"piqa", "boolq"}, TaskData: "../../eval/task/testdata/adapters", Shots: -1,
		Text: text, Length: 32, Windows: 3, Prompt: 8, Context: 4, Batch: 2, Repeats: 1, Device: "cpu", Threads: 1,
		Out: filepath.Join(t.TempDir(), "out"), Notes: []string{"a note, of two parts"}, Version: "test", Command: "bench report",
	}
}

func TestRun(t *testing.T) {
	o := small(t)
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s := &r.Sets[0]
	fp16, rounded, trained := s.Models[0], s.Models[1], s.Models[2]
	if fp16.Name != "FP16" || rounded.Name != "4-8-4 rounded" || trained.Name != "4-8-4 trained" || s.Title != "stories260K" {
		t.Errorf("%s: %s, %s, %s", s.Title, fp16.Name, rounded.Name, trained.Name)
	}
	if a, b, c := fp16.Quality[0].KL.Value, rounded.Quality[0].KL.Value, trained.Quality[0].KL.Value; a > 1e-3 || c < a || b < 2*c {
		t.Errorf("KL of FP16 %v, rounded %v, trained %v", a, b, c)
	}
	if s.Texts[0].Windows != 3 || fp16.Quality[0].Tokens != 3*31 {
		t.Errorf("%d windows, %d tokens", s.Texts[0].Windows, fp16.Quality[0].Tokens)
	}
	// 5 layers of 64·64·2 + 2·32·64 + 3·64·172, and an lm_head of 512·64; 8 heads of 8, twice.
	if want := int64(5*(2*64*64+2*32*64+3*64*172) + 512*64); fp16.MACs != want || fp16.AttentionMACs != 5*2*64 {
		t.Errorf("%d and %d products a token, want %d and %d", fp16.MACs, fp16.AttentionMACs, want, 5*2*64)
	}
	if n := len(trained.Tasks.Tasks); n != 4 || len(trained.Tasks.Average) != 2 || trained.Tasks.Tasks[0].Items == 0 || trained.Tasks.Tasks[0].Teacher == nil {
		t.Errorf("%d tasks by protocol, want 2 by 2: %+v", n, trained.Tasks)
	}
	if !slices.Equal(s.Notes, o.Notes) {
		t.Errorf("notes %q: want the given one, and none of a student of the teacher", s.Notes)
	}

	// The same again measures nothing: every sample is the old one. A model more measures only
	// itself, and all speeds.
	again, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.Sets[0].Speed, s.Speed) || !reflect.DeepEqual(again.Sets[0].Models, s.Models) {
		t.Error("the same flags measured again")
	}
	o.Settings = append(o.Settings, "8-8-8")
	more, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if m := more.Sets[0]; len(m.Models) != 4 || !reflect.DeepEqual(m.Models[1], rounded) || m.Speed.Key == s.Speed.Key {
		t.Errorf("%d models; that of 4-8-4 %+v, was %+v", len(m.Models), m.Models[1], rounded)
	}

	back, err := Load(o.Out)
	if err != nil || !reflect.DeepEqual(back.Sets[0].Models, more.Sets[0].Models) {
		t.Errorf("report.json does not come back: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "drawn")
	if both, err := Merge([]string{o.Out, filepath.Join(o.Out, "report.json")}); err != nil || len(both.Sets) != 2 {
		t.Errorf("merged: %v", err)
	} else if err := Write(both, dir); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"report.html", "report.md", "report.json", "set1-kl.svg", "set2-roofline.svg"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// What was measured before a stop is kept, and what was changed by other words of the version is not.
func TestGoesOn(t *testing.T) {
	old := &Report{Sets: []Set{{Models: []Model{{Quality: []Quality{{Key: "a"}}}}}}}
	if q := old.find("a"); q.Comparison != nil || q.Key != "a" {
		t.Errorf("a place without figures: %+v", q)
	}
	if keyOf("a", "b") == keyOf("a b") || keyOf("x", 1) == keyOf("x", 2) {
		t.Error("two keys are one")
	}
	path := filepath.Join(t.TempDir(), "report.json")
	for _, text := range []string{"not JSON", `{"format": 7}`} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := earlier(path); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// other makes a model of another vocabulary.
func other(t *testing.T) string {
	c, err := convert.Shape("stories260k")
	if err != nil {
		t.Fatal(err)
	}
	c.VocabSize = 640
	path := filepath.Join(t.TempDir(), "other.qat")
	if err := convert.Synth(t.Context(), c, path, convert.Options{Bits: quant.Bits{W: 4, A: 8, KV: 4}, KVScheme: quant.KVHeadZP}); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRefused(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.txt")
	noModel := filepath.Join(t.TempDir(), "broken.qat")
	cut := filepath.Join(t.TempDir(), "cut.qat")
	b, err := os.ReadFile(demoStudent)
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{empty: nil, noModel: []byte("no model"), cut: b[:len(b)/2]} {
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		want string
		set  func(o *Options)
	}{
		{"--teacher", func(o *Options) { o.Teacher = "" }},
		{"--out", func(o *Options) { o.Out = "" }},
		{"--text", func(o *Options) { o.Text = "" }},
		{"--wikitext", func(o *Options) { o.Text, o.Held, o.WikiText = "", []string{"x"}, true }},
		{"windows of 1 ", func(o *Options) { o.Length = 1 }},
		{"1 windows", func(o *Options) { o.Windows = 1 }},
		{"batch of 1", func(o *Options) { o.Batch = 1 }},
		{"nothing to compare", func(o *Options) { o.Settings, o.Models = nil, nil }},
		{"3-8-4", func(o *Options) { o.Settings = []string{"3-8-4"} }},
		{"per-moon", func(o *Options) { o.KVScheme = "per-moon" }},
		{"f8", func(o *Options) { o.Float = "f8" }},
		{"the teacher", func(o *Options) { o.Teacher = "missing" }},
		{"missing.txt", func(o *Options) { o.Text = "missing.txt" }},
		{"fill no window", func(o *Options) { o.Text = empty }},
		{"missing.qat", func(o *Options) { o.Models = []string{"missing.qat"} }},
		{"broken.qat", func(o *Options) { o.Models = []string{noModel} }},
		{"cut.qat", func(o *Options) { o.Models = []string{cut} }},
		{"vocabulary of 640", func(o *Options) { o.Models = []string{other(t)} }},
		{"held", func(o *Options) { o.Held = []string{"held"} }},
		{"not a directory", func(o *Options) { o.Out = filepath.Join(empty, "under-a-file") }},
		{"--task-data", func(o *Options) { o.TaskData = "" }},
		{"riddles", func(o *Options) { o.Tasks = []string{"riddles"} }},
		{"no file in", func(o *Options) { o.TaskData = t.TempDir() }},
		{"-2 examples", func(o *Options) { o.Shots = -2 }},
		{"abacus", func(o *Options) { o.Device = "abacus" }},
	} {
		o := small(t)
		o.Settings = []string{"4-8-4"}
		c.set(&o)
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one that says %q", err, c.want)
		}
	}
}

// A folder in which nothing may be written is an error before anything is measured.
func TestNoPermission(t *testing.T) {
	o := small(t)
	o.Out = t.TempDir()
	if err := os.Chmod(o.Out, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.Out, "x"), nil, 0o666); err == nil {
		t.Skip("this user may write everywhere")
	}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "--out") {
		t.Errorf("error %v", err)
	}
}

func TestNames(t *testing.T) {
	models := []Model{
		{Name: "FP16", File: "made"},
		{Name: "4-8-4 rounded", KVScheme: "head", File: "made"},
		{Name: "4-8-4 rounded", KVScheme: "token", File: "made"},
		{Name: "4-8-4 trained", KVScheme: "head", File: "a.qat"},
		{Name: "4-8-4 trained", KVScheme: "head", File: "b.qat"},
	}
	distinguish(models)
	var names []string
	for _, m := range models {
		names = append(names, m.Name)
	}
	if want := []string{"FP16", "4-8-4 rounded, head", "4-8-4 rounded, token", "4-8-4 trained, a", "4-8-4 trained, b"}; !reflect.DeepEqual(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

// A student of another teacher of the same vocabulary is taken, and noted.
func TestForeignStudent(t *testing.T) {
	f := &files{}
	s := &Set{Teacher: Teacher{Hash: "sha256:other"}}
	o := small(t)
	var err error
	if f.teacher, err = o.given(t.Context(), demoTeacher); err != nil {
		t.Fatal(err)
	}
	defer f.close()
	m, err := o.given(t.Context(), demoStudent)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.add(s, m, "student.qat"); err != nil || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "student.qat was trained for another model") {
		t.Errorf("%v, notes %q", err, s.Notes)
	}
}
