package main

import (
	"context"
	"fmt"
	"os"

	"github.com/llmqat/llmqat/format/tokens"
	"github.com/llmqat/llmqat/internal/progress"
)

type mergeCmd struct {
	Shards []string `arg:"" help:"The shards: files, or directories that hold them." type:"path"`
	Out    string   `help:"File to write." required:"" type:"path" placeholder:"FILE"`
}

func (mergeCmd) Help() string {
	return `The file has each sample once, in order, and is what one machine would have written. All shards
must be there and complete. Merging again changes nothing.

  llmqat-train merge --out all.jsonl data/
  llmqat-train merge --out all.jsonl a/shard-00000-of-00002.jsonl b/shard-00001-of-00002.jsonl`
}

func (c *mergeCmd) Run(ctx context.Context) error {
	step, end := progress.Bar(os.Stderr, "merge")
	added, err := tokens.Merge(ctx, c.Out, c.Shards, step)
	end()
	if err != nil {
		return err
	}
	if added == 0 {
		fmt.Fprintf(os.Stderr, "%s is complete: nothing to do\n", c.Out)
		return nil
	}
	fmt.Fprintf(os.Stderr, "%s: %d samples written\n", c.Out, added)
	return nil
}
