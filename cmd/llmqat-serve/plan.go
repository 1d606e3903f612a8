package main

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/llmqat/llmqat/runtime/engine"
)

// plan prints what serving would take, without taking it; what does not fit is an error with the sums.
func plan(f *flags, w io.Writer) error {
	m, err := open(f)
	if err != nil {
		return err
	}
	defer m.close()
	i, err := engine.Plan(m.file, m.options(f))
	if err != nil {
		return err
	}
	c := m.file.Header().Config
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value, more string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\t%s\n", name, value, fmt.Sprintf(more, args...))
	}
	row("model", cmp.Or(f.Model, "(demo)"), "%d parameters in %d layers", i.Parameters, c.NumHiddenLayers)
	row("numbers", i.Bits.String(), "KV cache %s", i.KVScheme)
	row("device", i.Device, "%s, %d threads", m.dev.Why, m.dev.Threads)
	row("together", fmt.Sprintf("%d sequences", i.MaxSeqs), "of at most %d tokens, %d tokens a step", i.MaxContext, i.Budget)
	fmt.Fprintln(t)
	row("weights", bytes(i.WeightBytes).String(), "mapped from the file, where the device shares the host's memory")
	row("KV cache", bytes(i.KVBytes).String(), "%d tokens in pages of %d", i.KVTokens(), engine.PageTokens)
	row("scratch", bytes(i.ScratchBytes).String(), "of one step")
	row("total", bytes(i.Bytes()).String(), "fits")
	return t.Flush()
}
