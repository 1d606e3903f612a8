package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunMicro(t *testing.T) {
	o := Options{
		Device: "cpu", Shape: "stories260k", Settings: []string{"16-16-16", "4-8-16", "4-8-4"}, KVSchemes: []string{"head-zp", "token"},
		Prompts: []int{100}, Contexts: []int{70, 300}, Batches: []int{3, 1}, Repeats: 1, Threads: []int{2}, Version: "test", readSize: 1 << 20,
	}
	r, err := RunMicro(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range r.Sections {
		got = append(got, r.title(&r.Sections[i]))
		for _, op := range r.Sections[i].Operators {
			if op.Seconds <= 0 || len(op.All) != o.Repeats {
				t.Errorf("%s: %+v", got[i], op)
			}
			if barrier := strings.HasPrefix(op.Name, "no work"); barrier == (op.Share > 0) || barrier == (op.Bound != "") {
				t.Errorf("%s: %s: share %v of %q", got[i], op.label(), op.Share, op.Bound)
			}
		}
	}
	want := "linear layers W16A16; linear layers W4A8; attention KV16, Q16; attention KV4 head-zp, Q8; attention KV4 token, Q16; rows A16; rows A8; other"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("sections %s, want %s", s, want)
	}

	// Layers of stories260k: 64·(64 + 2·32), 64·64, 64·2·172, 172·64, head 64·512, of 4 bits
	// with rows of 64 or 192 inputs, and of 8 in the head.
	w4a8 := r.Sections[1].Operators
	const weights = 5*(64*128/2+64*64/2+64*344/2+64*192/2+4*(128+64+344+64)) + 64*512 + 4*512
	const inputs = 5*((64+8)+(64+8)+(64+8)+(172+8)) + 64 + 8
	const outputs = 4 * (5*(128+2*64+344+2*64) + 512)
	const macs = 5*(64*128+64*64+64*344+172*64) + 64*512
	if all := w4a8[5]; all.label() != "all, 1 token" || all.Bytes != weights+inputs+outputs || all.IntMACs != macs || all.FloatMACs != 0 {
		t.Errorf("%+v, want %d bytes and %d products", all, weights+inputs+outputs, macs)
	}
	if head := w4a8[4].label(); head != "lm_head int8, 1 token" {
		t.Errorf("the fifth is %q", head)
	}
	if op := r.Sections[0].Operators[7]; op.label() != "o, 3 tokens" || op.FloatMACs != 3*64*64 || op.IntMACs != 0 {
		t.Errorf("%+v", op)
	}
	// The context of 70 is shorter than the prompt. Queries 200..299 see
	// 201 + ... + 300 = 25,050 positions, with 8 heads of 8, twice.
	attention := r.Sections[2].Operators
	if op := attention[2]; op.label() != "prefill, 100 tokens at 300" || op.FloatMACs != 2*64*25_050 || op.Bytes != 300*128+2*100*64*4 {
		t.Errorf("%+v", op)
	}
	if op := r.Sections[4].Operators[1]; op.label() != "decode, 1 token at 300" || op.FloatMACs != 64*300 || op.IntMACs != 64*300 {
		t.Errorf("float queries, integer values: %+v", op)
	}

	base := filepath.Join(t.TempDir(), "micro")
	if err := Save(r, base); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(base + ".txt")
	for _, want := range []string{"stories260k, single operators", "against W16A16", "RoPE and append, 100 tokens", "SwiGLU, 3 tokens", "sampling, top-p 0.95", "barrier"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
	var back MicroReport
	b, _ := os.ReadFile(base + ".json")
	if err := json.Unmarshal(b, &back); err != nil || back.Sections[1].Operators[5].Seconds != w4a8[5].Seconds {
		t.Errorf("JSON does not come back: %v", err)
	}
	if svg, _ := os.ReadFile(base + ".svg"); !bytes.Contains(svg, []byte("linear layers W4A8, share of the binding limit, %")) {
		t.Error("the picture lacks a panel")
	}
}

func TestMicroWantsAShape(t *testing.T) {
	if _, err := RunMicro(t.Context(), Options{Models: []string{"a.qat"}}); err == nil || !strings.Contains(err.Error(), "--shape") {
		t.Errorf("error %v", err)
	}
}

// Sections of several numbers of threads are told apart, and held against the first.
func TestMicroThreads(t *testing.T) {
	section := func(format string, threads int, seconds float64) Section {
		return Section{Kind: "other", Format: format, Threads: threads, Operators: []Operator{{Name: "x", Seconds: seconds}}}
	}
	r := MicroReport{
		About:    About{Machine: Machine{Ceilings: []Ceilings{{Threads: 1}, {Threads: 2}}}},
		Sections: []Section{section("", 1, 3), section("", 2, 2), section("A8", 2, 2)},
	}
	var b bytes.Buffer
	if err := r.Table(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"other 1 thread time", "other 2 threads time", "share against 1 thread", "1.50x", "other A8, 2 threads time"} {
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), want) {
			t.Errorf("the table lacks %q:\n%s", want, b.String())
		}
	}
}

// Of 4 s at 2 GB/s and 10 and 5 GMAC/s: what is slower binds, and a sum's parts are
// bound one by one.
func TestRoofline(t *testing.T) {
	ceiling := []Ceilings{{ReadBandwidth: 2e9, Int8Peak: 10e9, Int8W8Peak: 5e9, Float32Peak: 5e9}}
	op := func(bytes, ints, floats int64) *operator {
		return &operator{Operator: Operator{Bytes: bytes, IntMACs: ints, FloatMACs: floats, All: []float64{4}}}
	}
	read, ints, floats := op(6e9, 20e9, 0), op(2e9, 30e9, 0), op(2e9, 5e9, 10e9)
	sum := op(0, 0, 0)
	sum.sum, sum.All = []part{{read, 1}, {ints, 2}}, []float64{12}
	s := &section{operators: []*operator{read, ints, floats, sum}, ceilings: ceiling}
	s.finish()
	for i, want := range []struct {
		share float64
		bound string
	}{{0.75, "read bandwidth"}, {0.75, "int8 peak"}, {2.5 / 4, "float32 peak"}, {(3 + 2*3) / 12., "int8 peak"}} {
		if got := s.Operators[i]; got.Share != want.share || got.Bound != want.bound {
			t.Errorf("operator %d: %v of %s, want %v of %s", i, got.Share, got.Bound, want.share, want.bound)
		}
	}
	if got := s.Operators[3]; got.Bytes != 10e9 || got.IntMACs != 80e9 {
		t.Errorf("sum: %d bytes, %d products", got.Bytes, got.IntMACs)
	}
}
