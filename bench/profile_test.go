package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/llmqat/llmqat/kernels"
)

// Every operator of a step is there with what it reads and multiplies, as often as the
// model calls it; the linear layers' products together are the model's.
func TestRunProfile(t *testing.T) {
	o := Options{Device: "cpu", Shape: "stories260k", Prompts: []int{70}, Pass: 50, Contexts: []int{64}, Batches: []int{3}, Repeats: twice(), Threads: []int{2}, Cache: t.TempDir(), readSize: 1 << 20}
	r, err := RunProfile(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Steps) != 4 || r.Steps[0].What != "prefill 70" || r.Steps[3].What != "decode at 64, batch 3" || r.Steps[3].Model != "4-8-4 head-zp" {
		t.Fatalf("steps %+v", r.Steps)
	}
	calls := map[string]int{}
	for i, s := range r.Steps {
		sum, macs := 0.0, int64(0)
		for _, row := range s.Rows {
			sum += row.Seconds
			if strings.HasPrefix(row.Name, "linear") {
				macs += row.IntMACs + row.FloatMACs
			}
			if row.Seconds <= 0 || row.Bytes <= 0 || row.Share <= 0 || len(row.All) != o.Repeats {
				t.Errorf("%s, %s: %+v", s.Model, s.What, row)
			}
			if i == 3 {
				calls[row.label()] = row.Calls
			}
		}
		if s.Sum != sum || s.Seconds <= 0 {
			t.Errorf("%s, %s: %v s, operators %v, which are %v", s.Model, s.What, s.Seconds, s.Sum, sum)
		}
		const layer = 64*128 + 64*64 + 64*344 + 172*64
		want := int64(3 * (5*layer + 64*512))
		if strings.HasPrefix(s.What, "prefill") { // the last layer's second half and the head: a row for each of two passes
			want = 70*(5*layer-64*64-64*344-172*64) + 2*(64*64+64*344+172*64+64*512)
		}
		if macs != want {
			t.Errorf("%s, %s: %d products, want %d", s.Model, s.What, macs, want)
		}
	}
	for label, want := range map[string]int{"embedding, 3 tokens": 1, "RMSNorm, 3 tokens": 11, "linear int4 64 to 128, 3 tokens": 5,
		"linear int8 64 to 512, 3 tokens": 1, "attention, 3 tokens at 65": 5, "quantize, 3 tokens": 5, "SwiGLU, 3 tokens": 5, "RoPE and append, 3 tokens": 5} {
		if calls[label] != want {
			t.Errorf("%s: %d calls, want %d; there are %v", label, calls[label], want, calls)
		}
	}
	// Three sequences of 65 tokens, 32 bytes and 4 of scale and zero for each of 4 heads: K and V.
	for _, row := range r.Steps[3].Rows {
		if row.Name == "attention" && (row.Bytes != 5*(3*65*64+3*8*(8+8)+3*64*4) || row.IntMACs != 5*2*3*65*64) {
			t.Errorf("%+v", row)
		}
	}

	base := filepath.Join(t.TempDir(), "profile")
	if err := Save(r, base); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(base + ".txt")
	for _, want := range []string{"stories260k, profile", "4-8-4 head-zp, decode at 64, batch 3", "attention, 50 tokens at 50", "attention, 20 tokens at 70", "the step itself"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
	var back ProfileReport
	b, _ := os.ReadFile(base + ".json")
	if err := json.Unmarshal(b, &back); err != nil || back.Steps[1].Rows[2].Seconds != r.Steps[1].Rows[2].Seconds {
		t.Errorf("JSON does not come back: %v", err)
	}
	if svg, _ := os.ReadFile(base + ".svg"); !bytes.Contains(svg, []byte("decode at 64, batch 3")) {
		t.Error("the picture lacks a panel")
	}
}

// twice is how often what is measured is: once in short runs, since the ceilings beside
// each sample take most of a test's time.
func twice() int {
	if testing.Short() {
		return 1
	}
	return 2
}

// queueing is a device that queues, tells its kernels' times when it syncs, and fails on
// demand.
type queueing struct {
	kernels.Device
	queue []string
	yield func(kernel string, took time.Duration)
	fail  error
}

func (q *queueing) Trace(yield func(string, time.Duration)) { q.yield = yield }
func (q *queueing) Gather(_, _ kernels.Floats, _ kernels.Buf[int32]) {
	q.queue = append(q.queue, "gather", "tidy", "gather")
}
func (q *queueing) SwiGLU(kernels.Rows, kernels.Floats) { q.queue = append(q.queue, "swiglu") }
func (q *queueing) Sync() error {
	for _, k := range q.queue {
		if q.yield != nil {
			q.yield(k, time.Duration(len(k))*time.Microsecond)
		}
	}
	q.queue = nil
	err := q.fail
	q.fail = nil
	return err
}

// A kernel's time is its operator's, and that of what nobody asked for "other".
func TestProfilerTellsKernels(t *testing.T) {
	q := &queueing{queue: []string{"stray"}}
	p, runs := newProfiler(q)
	if _, ok := runs.(kernels.Drawer); ok {
		t.Error("the device draws no tokens, but its profiler does")
	}
	runs.Gather(kernels.Floats{}, kernels.Floats{}, kernels.Buf[int32]{})
	if len(q.queue) != 4 {
		t.Error("a profiler that is off waited")
	}
	p.start()
	q.Sync()
	for range 2 {
		runs.Gather(kernels.Floats{Rows: 3, Cols: 4}, kernels.Floats{}, kernels.Buf[int32]{})
		runs.SwiGLU(kernels.Rows{}, kernels.Floats{Rows: 3, Cols: 8})
	}
	rows := p.stop()
	if q.yield != nil {
		t.Error("the device still tells its kernels")
	}
	q.queue = []string{"late"}
	q.Sync()
	var got []string
	for _, r := range rows {
		got = append(got, r.label())
	}
	if s := strings.Join(got, "; "); s != "other; gather, 3 tokens; SwiGLU, 3 tokens" {
		t.Fatalf("rows %s", s)
	}
	gather := rows[1]
	if k := gather.kernels; len(k) != 2 || k[0] != (Kernel{"gather", 4, 24e-6}) || k[1] != (Kernel{"tidy", 2, 8e-6}) {
		t.Errorf("kernels %+v", k)
	}
	if gather.Calls != 2 || gather.Bytes != 2*2*4*12 || gather.seconds != 32e-6 {
		t.Errorf("%+v", gather)
	}
	if rows[0].seconds != (5+6+4+6)*1e-6 || rows[2].Bytes != 2*4*24 {
		t.Errorf("%+v, %+v", rows[0], rows[2])
	}
}

// A failure behind an operator is the next Sync's, once.
func TestProfilerFails(t *testing.T) {
	broken := errors.New("broken")
	q := &queueing{}
	p, runs := newProfiler(q)
	p.start()
	q.fail = broken
	runs.SwiGLU(kernels.Rows{}, kernels.Floats{})
	runs.SwiGLU(kernels.Rows{}, kernels.Floats{})
	if err := runs.Sync(); err != broken {
		t.Errorf("error %v", err)
	}
	if err := runs.Sync(); err != nil {
		t.Errorf("error %v, a second time", err)
	}
}

// A step's figures are the medians of each row over its looks.
func TestStepIsMedians(t *testing.T) {
	look := look{seconds: []float64{9, 5, 7}, ceilings: make([]Ceilings, 3)}
	for i, seconds := range []float64{1, 3, 2} {
		row := func(name string, kernels ...Kernel) *profileRow {
			r := &profileRow{operator: operator{Operator: Operator{Name: name, Bytes: 10}}, Calls: 4, kernels: kernels}
			for _, k := range kernels {
				r.seconds += k.Seconds
			}
			return r
		}
		look.ceilings[i] = Ceilings{ReadBandwidth: 10, Int8Peak: 1, Int8W8Peak: 1, Float32Peak: 1}
		look.passes = append(look.passes, []*profileRow{row("a", Kernel{"x", 4, seconds}, Kernel{"y", 8, 2 * seconds}), row("b", Kernel{"x", 4, 10 * seconds})})
	}
	s := look.step("m", point{tokens: 64, batch: 2})
	if s.Seconds != 7 || s.Sum != 6+20 || s.What != "decode at 64, batch 2" || len(s.Rows) != 2 {
		t.Fatalf("%+v", s)
	}
	a, b := s.Rows[0], s.Rows[1]
	if a.Seconds != 6 || a.Calls != 4 || a.Kernels[0] != (Kernel{"x", 4, 2}) || a.Kernels[1] != (Kernel{"y", 8, 4}) || a.Share != 1./6 {
		t.Errorf("%+v", a)
	}
	if b.Name != "b" || b.Seconds != 20 || b.Kernels[0] != (Kernel{"x", 4, 20}) || b.ByteRate != 0.5 {
		t.Errorf("%+v", b)
	}
}
