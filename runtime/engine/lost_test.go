package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/llmqat/llmqat/runtime/model"
)

// A device that is lost ends the requests that run and those that wait, with its own
// words, and later ones are refused. The engine rests, and is closed as ever.
func TestLostDevice(t *testing.T) {
	for name, end := range map[string]func(*Engine){
		"close": (*Engine).Close,
		"drain": func(e *Engine) { e.Drain(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.gate = make(chan struct{})
			steps := make(chan struct{}, 1000)
			f.seen = func([]model.Run) { steps <- struct{}{} }
			e := fakeEngine(t, f)
			ctx := context.Background()
			r := Request{IDs: []int32{4, 5}, MaxTokens: 50, Logprobs: -1, IgnoreEOS: true}
			var list []<-chan Event
			for range 4 { // one more than run together
				list = append(list, generate(t, e, ctx, r))
			}
			f.gate <- struct{}{}
			f.gate <- struct{}{}
			list = append(list, generate(t, e, ctx, r))
			if err := e.Err(); err != nil {
				t.Errorf("before: Err is %v", err)
			}
			lost := fmt.Errorf("forward pass: %w: cable pulled", ErrLost)
			f.fail.Store(&lost)
			close(f.gate)
			for i, events := range list {
				if _, _, done := collect(t, events); !errors.Is(done.Err, ErrLost) || !strings.Contains(done.Err.Error(), "cable pulled") {
					t.Errorf("request %d ended with %+v, want ErrLost and its reason", i, done)
				}
			}
			if err := e.Err(); !errors.Is(err, ErrLost) {
				t.Errorf("Err is %v, want ErrLost", err)
			}
			if _, err := e.Generate(ctx, r); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "cable pulled") {
				t.Errorf("a request afterwards: %v, want ErrLost and its reason", err)
			}
			idle(t, e)
			if s := e.Stats(); s.Failed != int64(len(list)) || s.Panics != 0 {
				t.Errorf("%+v, want %d requests failed", s, len(list))
			}
			ran := len(steps)
			ended := make(chan struct{})
			go func() { end(e); close(ended) }()
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Fatal("the engine does not end")
			}
			if n := len(steps); n != ran {
				t.Errorf("%d steps after the device was lost", n-ran)
			}
			if _, err := e.Generate(ctx, r); !errors.Is(err, ErrClosed) {
				t.Errorf("a request after the end: %v, want ErrClosed", err)
			}
		})
	}
}
