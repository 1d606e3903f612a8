package long

import "testing"

func TestRounds(t *testing.T) {
	t.Setenv("LLMQAT_LONG", "")
	want := 5
	if testing.Short() {
		want = 2
	}
	if n := Rounds(t, 5, 2); n != want || Run() {
		t.Errorf("%d rounds, long %v; want %d in a test of every day", n, Run(), want)
	}
	t.Setenv("LLMQAT_LONG", "100000")
	t.Setenv("LLMQAT_SEED", "7")
	if n := Rounds(t, 5, 2); n != 100000 || !Run() || Seed(t) != 7 {
		t.Errorf("%d rounds from %d on, long %v; want 100000 from 7 on", n, Seed(t), Run())
	}
}
