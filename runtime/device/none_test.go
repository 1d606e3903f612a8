//go:build !cuda

package device

import (
	"errors"
	"testing"

	"github.com/llmqat/llmqat/kernels/cuda"
)

func TestNotBuilt(t *testing.T) {
	want(t, open(t, "auto", 1).String(), "cpu/", ": built without cuda: build with make cuda")
	want(t, open(t, "", 1).String(), "cpu/", ": built without cuda")
	_, err := Open("cuda:1", 1)
	if !errors.Is(err, cuda.ErrNotBuilt) {
		t.Fatalf("error %v, want ErrNotBuilt", err)
	}
	want(t, err.Error(), "device cuda:1", "cpu or auto")
}
