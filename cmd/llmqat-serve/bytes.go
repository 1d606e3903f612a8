package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/llmqat/llmqat/runtime/engine"
)

// bytes is an amount of memory, written as 4096, 512MB or 2GiB.
type bytes int64

var units = []struct {
	suffix string
	size   int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40}, // as docker and systemd count
	{"B", 1}, {"", 1},
}

// UnmarshalText reads what a flag or a variable holds.
func (b *bytes) UnmarshalText(text []byte) error {
	for _, u := range units {
		number, ok := strings.CutSuffix(string(text), u.suffix)
		if !ok {
			continue
		}
		x, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if x *= float64(u.size); err != nil || !(x >= 0 && x < math.MaxInt64) {
			break
		}
		*b = bytes(x)
		return nil
	}
	return fmt.Errorf("%q is no amount of memory: want one as 4096, 512MB or 2GiB", text)
}

func (b bytes) String() string { return engine.Size(int64(b)) }
