//go:build !cuda

package cuda

import (
	"errors"
	"testing"
)

func TestNotBuilt(t *testing.T) {
	if _, err := New(0); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("error %v", err)
	}
}
