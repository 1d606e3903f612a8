package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if RunProbe(os.Args[1:], os.Stdout) { // Run starts this program again
		return
	}
	goleak.VerifyTestMain(m)
}

func TestRun(t *testing.T) {
	o := Options{
		Device: "cpu", Shape: "stories260k", Settings: []string{"16-16-16", "4-8-4"}, Prompts: []int{5, 70}, Contexts: []int{3, 200}, Batches: []int{1, 3},
		Decode: 4, Repeats: 2, Threads: []int{1, 2}, Cache: t.TempDir(), Version: "test", readSize: 1 << 20,
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Models) != 2 || len(r.Models[0].Prefill) != 4 || len(r.Models[1].Decode) != 8 || len(r.Machine.Ceilings) != 2 {
		t.Fatalf("%d models, %d prompts, %d contexts", len(r.Models), len(r.Models[0].Prefill), len(r.Models[1].Decode))
	}
	for _, m := range r.Models {
		for _, v := range append(m.Prefill, m.Decode...) {
			if v.PerSec <= 0 || v.Share <= 0 || len(v.All) != o.Repeats {
				t.Errorf("%s: %+v", m.Name, v)
			}
		}
		if m.Startup.FirstToken <= 0 {
			t.Errorf("%s: first token after %v", m.Name, m.Startup.FirstToken)
		}
	}
	fp16, int4 := r.Models[0], r.Models[1]
	// stories260k: 5 layers of 4 KV heads of 8: 2·32·2 bytes, and 2·(16 + 4·4).
	if fp16.KVTokenBytes != 5*128 || int4.KVTokenBytes != 5*64 {
		t.Errorf("KV bytes a token %d and %d, want 640 and 320", fp16.KVTokenBytes, int4.KVTokenBytes)
	}
	if want := int64(5*(64*64+2*32*64) + 4*(64*64+3*64*172)); fp16.MACs != want {
		t.Errorf("%d products a token, want %d", fp16.MACs, want)
	}
	if fp16.IntegerMatmul || !int4.IntegerMatmul {
		t.Error("which model multiplies integers")
	}

	base := filepath.Join(t.TempDir(), "out")
	if err := Save(r, base); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(base + ".txt")
	for _, want := range []string{"stories260k", "16-16-16", "4-8-4 head-zp", "prefill 70, 2 threads, tokens/s", "decode at 200, 1 thread, tokens/s", "decode at 200, batch 3, 2 threads, tokens/s", "share of bandwidth", "against 1 thread", "1 thread: read bandwidth"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
	var back Report
	b, _ := os.ReadFile(base + ".json")
	if err := json.Unmarshal(b, &back); err != nil || back.Models[1].Decode[1].PerSec != int4.Decode[1].PerSec {
		t.Errorf("JSON does not come back: %v", err)
	}
	if svg, _ := os.ReadFile(base + ".svg"); !bytes.Contains(svg, []byte("decode at 200, batch 3, 1 thread, tokens/s")) {
		t.Error("the picture lacks a panel")
	}
}

// Files of the same bits have columns that can be told apart.
func TestCheckpoints(t *testing.T) {
	dir := t.TempDir()
	made := Options{Shape: "stories260k", Settings: []string{"4-8-4"}, KVSchemes: []string{"head"}}
	if err := made.fill([]int{1}, []int{1}); err != nil {
		t.Fatal(err)
	}
	columns, err := made.columns()
	if err != nil {
		t.Fatal(err)
	}
	f, err := made.made(t.Context(), dir, columns[0])
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other.qat")
	if err := os.Link(f.path, other); err != nil {
		t.Skip(err)
	}
	o := Options{Models: []string{f.path, other}}
	files, title, err := o.prepare(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if files[1].name != "other 4-8-4" || files[0].name == files[1].name || !strings.HasSuffix(title, ", other.qat") {
		t.Errorf("%q: columns %v", title, files)
	}
}

// What is made of a float model does not stay, also when something fails.
func TestModelLeavesNothing(t *testing.T) {
	cache := t.TempDir()
	if _, err := Run(t.Context(), Options{Models: []string{t.TempDir()}, Cache: cache}); err == nil {
		t.Error("an empty folder was measured")
	}
	if left, _ := os.ReadDir(cache); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBadOptions(t *testing.T) {
	shape := Options{Device: "cpu", Shape: "stories260k", Cache: t.TempDir()}
	with := func(f func(o *Options)) Options { o := shape; f(&o); return o }
	for name, o := range map[string]Options{
		"models or a shape":       {},
		"atlantis":                with(func(o *Options) { o.Shape = "atlantis" }),
		"3-8-4":                   with(func(o *Options) { o.Settings = []string{"3-8-4"} }),
		"per-moon":                with(func(o *Options) { o.KVSchemes = []string{"per-moon"} }),
		"f8":                      with(func(o *Options) { o.Float = "f8" }),
		"at least 1":              with(func(o *Options) { o.Prompts = []int{0} }),
		"want 1 to 512":           with(func(o *Options) { o.Batches = []int{0} }),
		"-1 threads":              with(func(o *Options) { o.Threads = []int{2, -1} }),
		"want one to quantize":    {Models: []string{"a", "b"}},
		"missing.qat":             {Models: []string{"missing.qat"}},
		"context of 1048600":      with(func(o *Options) { o.Contexts = []int{1<<20 - 8} }),
		"shorten --context":       with(func(o *Options) { o.Contexts, o.Batches = []int{1<<20 - 32}, []int{512} }),
		"want either models or a": {Models: []string{"a"}, Shape: "b"},
	} {
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: error %v, want one that says %q", o, err, name)
		}
	}
}

func TestTableSaysWhatWasMeasured(t *testing.T) {
	r := Report{About: About{Machine: Machine{Ceilings: []Ceilings{{Threads: 1}}}, Notes: []string{"no energy: none"}}, Models: []Result{{Decode: []Rate{{PerSec: 9, Share: 1.39}}}, {DiskReads: 777, Decode: []Rate{{PerSec: 9, Share: 0.5}}}}}
	var b bytes.Buffer
	if err := r.Table(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 thread:", "no energy: none", "from caches, 139 %", "pages read from disk   0   777"} {
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
	r.Models[1].DiskReads = 7
	b.Reset()
	if err := r.Table(&b); err != nil || strings.Contains(b.String(), "disk") {
		t.Errorf("a disk that was hardly read:\n%s", b.String())
	}
}

func TestCheckOut(t *testing.T) {
	dir := t.TempDir()
	base := filepath.Join(dir, "new", "out")
	if err := CheckOut(base); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(base)); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	blocked := filepath.Join(dir, "file")
	if err := os.WriteFile(blocked, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := CheckOut(filepath.Join(blocked, "out")); err == nil {
		t.Error("a file was taken for a folder")
	}
}

// Every sequence has pages to be decoded at the deepest context, and one for a prompt.
func TestPages(t *testing.T) {
	o := Options{Prompts: []int{5, 200}, Contexts: []int{10, 126}, Batches: []int{3}, Decode: 2}
	if got := o.pages(); !slices.Equal(got, []int{4, 2, 2}) {
		t.Errorf("pages %v, want 4 of 64 tokens for the first, 2 for the others", got)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		v    []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{5, 1}, 3}, {[]float64{9, 1, 2}, 2}} {
		if got := median(c.v); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.v, got, c.want)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1 kB", 684e6: "684 MB", 2_200_765_528: "2.2 GB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}
