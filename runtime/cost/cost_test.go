package cost

import (
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/kernels/quant"
)

func header(t *testing.T, shape, bits string) *qat.Header {
	t.Helper()
	c, err := convert.Shape(shape)
	if err != nil {
		t.Fatal(err)
	}
	b, err := quant.ParseBits(bits)
	if err != nil {
		t.Fatal(err)
	}
	q := qat.Quantization{Bits: b, KVScheme: quant.KVHeadZP, Float: qat.Float16, LMHeadBits: 8}
	if b.W == 16 {
		q.LMHeadBits = 16
	}
	return &qat.Header{Config: c, Quantization: q}
}

// Of stories260k: 5 layers of q and o [64, 64], k and v [32, 64], gate, up and down [172, 64], and a tied
// head of [512, 64] that is stored a second time in 8 bits.
func TestWork(t *testing.T) {
	const layers, head = 5 * (2*64*64 + 2*32*64 + 3*172*64), 512 * 64
	p := Pass{Tokens: 10, Seqs: 2, Context: 20, Logits: 3}
	h := header(t, "stories260k", "4-8-4")
	w := p.Of(h, 7)
	kv := 5 * 2 * 4 * (8/2 + 4) // of K and V a head's 8 elements in 4 bits, its scale and zero point
	if scores := 2 * 10 * 5 * 64 * 20; w.Float != float64(7*scores) || w.Int8 != 7*(10*layers+3*head) ||
		w.Bytes != float64(7*(h.DataBytes()+int64(2*20*kv))) {
		t.Errorf("%+v", w)
	}
	h = header(t, "stories260k", "4-16-16")
	if w := p.Of(h, 1); w.Int8 != 0 || w.Float != 2*10*5*64*20+10*layers+3*head {
		t.Errorf("activations of 16 bits: %+v, want all of it floats", w)
	}
	h = header(t, "llama-7b", "16-16-16") // whose embedding is no head
	if w := (Pass{}).Of(h, 1); w.Bytes != float64(h.DataBytes()-2*32000*4096) || w.Float != 0 {
		t.Errorf("no token of 7B: %+v, want the bytes of all weights but the embedding", w)
	}
	if s := (Work{Float: 7, Int8: 14, Bytes: 17}).Seconds(Speed{1, 2, 4}); s < 24.999 || s > 25.001 {
		t.Errorf("%v seconds, want (7 + 7) / 0.7 + 17 / 3.4", s)
	}
}

// The figures of docs/benchmarks/2026-11-22-zen4 and -zen5, two cores each.
func TestAsMeasured(t *testing.T) {
	const factor = 1.8
	for name, m := range map[string]struct {
		s               Speed
		small           [3][4]float64 // of tinyllama-1.1b, by setting: prompts of 512; one sequence at 64; 16 at 64; 16 at 1900
		prefill, decode float64       // of llama-7b at 4-8-4; 0: not measured
	}{
		"zen4": {Speed{116e9, 462e9, 33e9}, [3][4]float64{{84.9, 15.1, 71.4, 51.5}, {366.7, 29.9, 320.3, 189.6}, {378.1, 58.3, 306.5, 188.9}}, 60, 7.8},
		"zen5": {Speed{273e9, 1097e9, 78.5e9}, [3][4]float64{{180.1, 31.4, 124.4, 82.9}, {631, 61.3, 400.9, 175}, {675.6, 106.9, 524, 200.6}}, 0, 0},
	} {
		near := func(what string, h *qat.Header, p Pass, want float64) {
			if got := p.Tokens / p.Of(h, 1).Seconds(m.s); want > 0 && (got > factor*want || got < want/factor) {
				t.Errorf("%s, %s: %.1f tokens/s, measured were %.1f", name, what, got, want)
			}
		}
		prompt := func(n float64) Pass { return Pass{Tokens: n, Seqs: 1, Context: n / 2, Logits: 1} }
		decode := func(n, context float64) Pass { return Pass{n, n, context, n} }
		for i, bits := range []string{"16-16-16", "8-8-8", "4-8-4"} {
			h := header(t, "tinyllama-1.1b", bits)
			for j, p := range []Pass{prompt(512), decode(1, 64), decode(16, 64), decode(16, 1900)} {
				near(bits, h, p, m.small[i][j])
			}
		}
		h := header(t, "llama-7b", "4-8-4")
		near("7B", h, prompt(128), m.prefill)
		near("7B", h, decode(1, 64), m.decode)
	}
}

func TestSpeed(t *testing.T) {
	var s Speed
	if err := s.UnmarshalText([]byte("495e12, 990e12,3.35e12")); err != nil || s != (Speed{495e12, 990e12, 3.35e12}) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"1", "1,2", "1,2,3,4", "1,2,x", "1,2,0", "1,-2,3", "1,2,NaN", "1,2,Inf"} {
		if err := s.UnmarshalText([]byte(bad)); err == nil || !strings.Contains(err.Error(), "want FLOAT,INT8,READ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := s.UnmarshalText(nil); err != nil || s != (Speed{}) {
		t.Errorf("unset: %+v, %v", s, err)
	}
}

func TestMeasure(t *testing.T) {
	dev, err := cpu.New(1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if s, err := Measure(dev, 4); err != nil || s.Float < 1e6 || s.Int8 < 1e6 || s.Read < 1e6 {
		t.Errorf("%+v, %v", s, err)
	}
}
