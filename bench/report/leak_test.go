package report

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/llmqat/llmqat/bench"
)

func TestMain(m *testing.M) {
	if bench.RunProbe(os.Args[1:], os.Stdout) { // Run starts this program again
		return
	}
	goleak.VerifyTestMain(m)
}
