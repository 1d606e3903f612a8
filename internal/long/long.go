// Package long scales tests that claim something of many inputs: a few of them on every day, and as many as the
// claim is about where LLMQAT_LONG says so. Bounds of time are held there only, where the machine is known.
package long

import (
	"os"
	"strconv"
	"testing"
)

// Rounds returns LLMQAT_LONG; where that is not set few, or short with -short.
func Rounds(t testing.TB, few, short int) int {
	t.Helper()
	if v, ok := number(t, "LLMQAT_LONG"); ok {
		return int(v)
	}
	if testing.Short() {
		return short
	}
	return few
}

// Sequential skips a test in a short run: those are for the race detector and for emulated processors, and to them one
// thread at a time, or a process that is killed, has nothing to show.
func Sequential(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: nothing here runs at once")
	}
}

// Run says whether this is the full form of a test.
func Run() bool { return os.Getenv("LLMQAT_LONG") != "" }

// Seed returns LLMQAT_SEED, the first round's seed, which is 0 otherwise: a failure names its own.
func Seed(t testing.TB) uint64 {
	t.Helper()
	v, _ := number(t, "LLMQAT_SEED")
	return v
}

func number(t testing.TB, name string) (uint64, bool) {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return 0, false
	}
	v, err := strconv.ParseUint(text, 10, 62)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v, true
}
