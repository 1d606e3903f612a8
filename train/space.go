package train

import (
	"errors"
	"fmt"
	"syscall"
)

// noSpace adds the way out to an error that says that no space is left.
func noSpace(err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			return fmt.Errorf("%w: free some space and go on by --resume: checkpoints are whole", err)
		}
	}
	return err
}
