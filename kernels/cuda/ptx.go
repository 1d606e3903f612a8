package cuda

import (
	"embed"
	"fmt"
	"strings"
)

// The kernels, compiled by make ptx.
//
//go:embed ptx/*.ptx
var ptx embed.FS

// kernel is a loaded kernel and the dynamic shared memory that was asked for.
type kernel struct {
	function function
	shared   uint32
}

// load compiles every PTX file and returns its kernels by name.
func load(driver driver) (map[string]*kernel, error) {
	files, err := ptx.ReadDir("ptx")
	if err != nil {
		return nil, err
	}
	kernels := map[string]*kernel{}
	for _, file := range files {
		text, err := ptx.ReadFile("ptx/" + file.Name())
		if err != nil {
			return nil, err
		}
		names := entries(string(text))
		functions, err := driver.Load(string(text), names)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name(), err)
		}
		for i, name := range names {
			kernels[name] = &kernel{function: functions[i]}
		}
	}
	return kernels, nil
}

// entries returns the names of a PTX file's kernels.
func entries(ptx string) (names []string) {
	for line := range strings.Lines(ptx) {
		if rest, ok := strings.CutPrefix(line, ".visible .entry "); ok {
			name, _, _ := strings.Cut(rest, "(")
			names = append(names, name)
		}
	}
	return names
}
