package main

import (
	"fmt"
	"os"

	"github.com/llmqat/llmqat/runtime/engine"
)

// wrote reports a finished file on standard error.
func wrote(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "wrote %s, %s\n", path, engine.Size(info.Size()))
	return nil
}
