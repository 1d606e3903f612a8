package pace

import (
	"errors"
	"testing"
	"time"
)

// A loop of 3 ms a turn takes 4 or 8 turns to last 20 ms, and 3 ms or more for each.
func TestBest(t *testing.T) {
	var turns []int
	seconds, err := Best(func(n int) error {
		turns = append(turns, n)
		time.Sleep(time.Duration(n) * 3 * time.Millisecond)
		return nil
	})
	if err != nil || seconds < 0.003 {
		t.Errorf("%v s a turn, error %v", seconds, err)
	}
	if last := len(turns) - 1; last < 5 || turns[last] != turns[last-4] || turns[0] != 1 || turns[last] < 2 {
		t.Errorf("turns %v, want 1, 2, and so on until 20 ms are reached, then five more times so many", turns)
	}
}

// What fails ends: a loop that never lasts would be doubled for ever.
func TestBestFails(t *testing.T) {
	broken := errors.New("broken")
	calls := 0
	if _, err := Best(func(int) error { calls++; return broken }); err != broken || calls != 1 {
		t.Errorf("error %v after %d calls", err, calls)
	}
}
