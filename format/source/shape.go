package source

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/format/hf"
)

// Shape returns the shape of a model whose weights are not needed: that of a well-known one by
// its name, as convert.Shape has them, or of a config.json.
func Shape(name string) (format.Config, error) {
	if filepath.Ext(name) == ".json" {
		return hf.ReadConfig(name)
	}
	c, err := convert.Shape(name)
	if err != nil {
		return c, fmt.Errorf("no config.json, and no shape that is known by its name: %w", err)
	}
	return c, nil
}

// Shapes lists the names that Shape knows, for help.
func Shapes() string { return strings.Join(convert.Shapes(), ", ") }
