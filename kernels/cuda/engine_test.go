//go:build cuda

package cuda

import (
	"context"
	"math"
	"testing"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/cpu"
	"github.com/llmqat/llmqat/runtime/engine"
	"github.com/llmqat/llmqat/runtime/sample"
)

// TestEngine: a trained model says the same on the GPU as on a CPU. Only the logits
// may differ, where float weights make them: lm_head's inputs become float16 there, so a
// logit is off by Σ|x·w|·2⁻¹² at most, 0.01 where that sum is 40, and by a sixth of it
// where the 64 roundings are independent. The logprobs of 80 tokens are the same within
// 2e-3 (1.3e-4 is found), and greedy ones are the same tokens.
func TestEngine(t *testing.T) {
	host, err := cpu.New(1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	gpu := newTestDevice(t)
	calls := &counting{driver: gpu.driver}
	gpu.driver = calls
	requests := []engine.Request{{IDs: []int32{1}, MaxTokens: 40}, {IDs: []int32{1, 403, 407, 261, 378}, MaxTokens: 40}}
	want, _ := tell(t, host, requests)
	got, _ := tell(t, gpu, requests)
	for i := range want {
		for j, w := range want[i] {
			if g := got[i][j]; g.ID != w.ID || !(math.Abs(float64(g.Logprob-w.Logprob)) <= 2e-3) {
				t.Fatalf("answer %d, token %d: %d with logprob %v, the CPU's is %d with %v", i, j, g.ID, g.Logprob, w.ID, w.Logprob)
			}
		}
	}
	if calls.graphs < 20 {
		t.Errorf("decoding ran %d graphs, and %d other launches", calls.graphs, calls.launches)
	}
}

// TestEngineDraws: requests of all parameters together have the tokens that they have
// where the host draws them all, on a GPU and on a CPU. Where none needs the host, a step
// goes to the driver in one piece, when decoding as a graph.
func TestEngineDraws(t *testing.T) {
	host, err := cpu.New(1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	gpu := newTestDevice(t)
	calls := &counting{driver: gpu.driver}
	gpu.driver = calls
	var requests []engine.Request
	for i, p := range []sample.Params{
		{}, {Temperature: 0.8}, {Temperature: 1, TopK: 5}, {Temperature: 1, TopP: 0.8}, {Temperature: 1.5, MinP: 0.1},
		{Temperature: 1, TopK: 20, TopP: 0.9, MinP: 0.01}, {FrequencyPenalty: 1}, {Temperature: 1, LogitBias: map[int32]float32{403: 5}},
	} {
		p.Seed = uint64(i)
		requests = append(requests, engine.Request{IDs: []int32{1, int32(400 + i)}, MaxTokens: 12, Logprobs: -1, Sampling: p})
	}
	alone, steps := tell(t, gpu, requests[:6])
	if warm := int64(2); calls.graphs < 2 || int64(calls.graphs+calls.launches) != steps+warm {
		t.Errorf("%d steps after %d at the start ran %d graphs, and other launches %d times", steps, warm, calls.graphs, calls.launches)
	}
	want, _ := tell(t, host, requests)
	drawn, _ := tell(t, gpu, requests)
	byHost, _ := tell(t, struct{ kernels.Device }{gpu}, requests)
	for way, got := range map[string][][]engine.Token{"drawn on the GPU alone": alone, "drawn on the GPU": drawn, "drawn by the host": byHost} {
		for i := range got {
			for j, w := range want[i] {
				if got[i][j].ID != w.ID {
					t.Errorf("%s: %+v: token %d is %d, the CPU's %d", way, requests[i].Sampling, j, got[i][j].ID, w.ID)
					break
				}
			}
		}
	}
}

// tell returns the answers to requests that run together, and the steps that it took.
func tell(t *testing.T, dev kernels.Device, requests []engine.Request) (answers [][]engine.Token, steps int64) {
	t.Helper()
	f, err := qat.Open("../../cmd/llmqat-serve/demo/stories260K.qat")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e, err := engine.New(f, engine.Options{Device: dev, MaxContext: 128, MaxSeqs: len(requests)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var events []<-chan engine.Event
	for _, r := range requests {
		r.IgnoreEOS = true
		c, err := e.Generate(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, c)
	}
	for _, c := range events {
		var answer []engine.Token
		for ev := range c {
			if ev.Err != nil {
				t.Fatal(ev.Err)
			}
			if ev.Kind == engine.KindToken {
				answer = append(answer, ev.Token)
			}
		}
		if len(answer) != requests[len(answers)].MaxTokens {
			t.Fatalf("answer %d has %d tokens", len(answers), len(answer))
		}
		answers = append(answers, answer)
	}
	e.Close()
	return answers, e.Stats().Steps
}
