package main

import (
	_ "embed"
	"os"
)

const demoName = "stories260K"

// demo is the model served without --model; demo/README.md says where it is from.
//
//go:embed demo/stories260K.qat
var demo []byte

// writeDemo writes the demo model to a temporary file, as models are mapped from files, and returns its path.
func writeDemo() (path string, err error) {
	f, err := os.CreateTemp("", demoName+"-*.qat")
	if err != nil {
		return "", err
	}
	_, err = f.Write(demo)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}
