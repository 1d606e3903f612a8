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
)

// TestEngine: a trained model says the same on the GPU as on a CPU. Only the logits
// may differ, where float weights make them; the logprobs of 80 tokens in doubt then
// are the same within 1e-4, and greedy ones are the same tokens.
func TestEngine(t *testing.T) {
	host, err := cpu.New(1, "")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	gpu := newTestDevice(t)
	calls := &counting{driver: gpu.driver}
	gpu.driver = calls
	want, got := tell(t, host), tell(t, gpu)
	for i := range want {
		if len(got[i]) != len(want[i]) {
			t.Fatalf("answer %d has %d tokens, want %d", i, len(got[i]), len(want[i]))
		}
		for j, w := range want[i] {
			if g := got[i][j]; g.ID != w.ID || math.Abs(float64(g.Logprob-w.Logprob)) > 1e-4 {
				t.Fatalf("answer %d, token %d: %d with logprob %v, the CPU's is %d with %v", i, j, g.ID, g.Logprob, w.ID, w.Logprob)
			}
		}
	}
	if calls.graphs < 20 {
		t.Errorf("decoding ran %d graphs, and %d other launches", calls.graphs, calls.launches)
	}
}

// tell returns greedy answers to two prompts that run together.
func tell(t *testing.T, dev kernels.Device) (answers [][]engine.Token) {
	t.Helper()
	f, err := qat.Open("../../cmd/llmqat-serve/demo/stories260K.qat")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e, err := engine.New(f, engine.Options{Device: dev, MaxContext: 128, MaxSeqs: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var events []<-chan engine.Event
	for _, ids := range [][]int32{{1}, {1, 403, 407, 261, 378}} {
		c, err := e.Generate(context.Background(), engine.Request{IDs: ids, MaxTokens: 40, IgnoreEOS: true})
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
		answers = append(answers, answer)
	}
	return answers
}
