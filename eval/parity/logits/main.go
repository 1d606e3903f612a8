// Command logits writes a model's logits, for eval/parity to compare with other programs'.
//
//	logits model.qat < windows.json > logits.f32
//
// Standard input is a JSON array of windows of token ids, each run alone; standard output
// has float32, little-endian, in the order of windows, tokens and ids.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/llmqat/llmqat/eval"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/runtime/device"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: logits model.qat < windows.json > logits.f32")
		os.Exit(2)
	}
	if err := write(os.Stdout, os.Stdin, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "logits:", err)
		os.Exit(1)
	}
}

func write(out io.Writer, in io.Reader, path string) (err error) {
	var windows [][]int32
	if err := json.NewDecoder(in).Decode(&windows); err != nil {
		return fmt.Errorf("windows, want [[ids], ...]: %w", err)
	}
	f, err := qat.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	dev, err := device.Open("cpu", 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dev.Close()) }()
	stream, err := eval.NewStream(dev.Device, f, windows, eval.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	vocab := f.Header().Config.VocabSize
	w := bufio.NewWriter(out)
	for _, window := range windows {
		logits := make([]float32, len(window)*vocab)
		if err := stream.Next(logits); err != nil {
			return err
		}
		if err := binary.Write(w, binary.LittleEndian, logits); err != nil {
			return err
		}
	}
	return w.Flush()
}
