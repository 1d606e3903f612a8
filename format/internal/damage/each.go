package damage

import (
	"errors"
	"math/rand/v2"
	"runtime/metrics"
	"slices"
	"testing"
	"time"

	"github.com/llmqat/llmqat/internal/long"
)

// most is what opening a file may allocate beside some copies of it, garbage included.
const most = 64 << 20

// Each opens files that open must refuse, or take: each is one of good with damage. An error wraps one of
// sentinels, and nothing costs much. In the long form each is opened in a second.
func Each(t *testing.T, few, short int, good [][]byte, open func(b []byte) error, sentinels ...error) {
	t.Helper()
	first, n := long.Seed(t), long.Rounds(t, few, short)
	taken, slowest, largest := 0, time.Duration(0), uint64(0)
	before := allocated()
	for i := range n {
		seed := first + uint64(i)
		r := rand.New(rand.NewPCG(seed, 99))
		b := Bytes(r, good[r.IntN(len(good))])
		start := time.Now()
		err := open(b)
		took := time.Since(start)
		for range 5 { // a machine with other work is slow once: a file is slow each time
			if took > time.Second {
				start = time.Now()
				err = open(b)
				took = min(took, time.Since(start))
			}
		}
		slowest = max(slowest, took)
		after := allocated()
		largest = max(largest, after-before)
		if err == nil {
			taken++
		} else if !slices.ContainsFunc(sentinels, func(s error) bool { return errors.Is(err, s) }) {
			t.Errorf("seed %d: error %q wraps none of %v", seed, err, sentinels)
		}
		if after-before > uint64(most+8*len(b)) {
			t.Errorf("seed %d: %d MiB allocated for a file of %d bytes", seed, (after-before)>>20, len(b))
		}
		if long.Run() && took > time.Second {
			t.Errorf("seed %d: opened in %v", seed, took)
		}
		if t.Failed() {
			t.Fatalf("again: LLMQAT_SEED=%d LLMQAT_LONG=1 go test -run %s", seed, t.Name())
		}
		before = after
	}
	if taken == n {
		t.Errorf("all %d are taken: the damage does not reach what is read", n)
	}
	t.Logf("%d damaged files: %d refused, %d taken; slowest %v, at most %d KiB allocated", n, n-taken, taken, slowest, largest>>10)
}

// allocated returns the bytes of all that was ever allocated, to the size of a span.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
