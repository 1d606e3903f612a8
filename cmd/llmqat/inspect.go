package main

import (
	"context"
	"fmt"
	"os"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/internal/progress"
)

type inspectCmd struct {
	File   string `arg:"" help:"The .qat file." type:"path"`
	Verify bool   `help:"Read all of the file: every checksum, scale and padding."`
}

func (inspectCmd) Help() string {
	return `The header is always checked: its checksum, and every tensor's type, shape and place against
the model's shape. --verify checks the weights, too. The exit status is 1 if anything is wrong.

  llmqat inspect m.qat
  llmqat inspect m.qat --verify && llmqat-serve --model m.qat`
}

func (c *inspectCmd) Run(ctx context.Context) error {
	f, err := qat.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Describe(os.Stdout); err != nil {
		return err
	}
	if !c.Verify {
		return nil
	}
	step, end := progress.Bar(os.Stderr, "verify")
	err = f.Verify(ctx, step)
	end()
	if err != nil {
		return err
	}
	fmt.Println("verified: every checksum, scale and padding is right")
	return nil
}
