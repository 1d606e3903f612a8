package bench

import (
	"fmt"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/convert"
	"github.com/llmqat/llmqat/kernels"
)

// tally is a device whose memory is only counted: to know what operators take before
// they take it.
type tally struct {
	gauged
	bytes int64
}

func (t *tally) Alloc(n int) (kernels.Mem, error) {
	t.bytes += int64(n)
	return nothing(n), nil
}
func (*tally) Free(kernels.Mem)                      {}
func (*tally) Upload(kernels.Mem, int, []byte)       {}
func (*tally) Quantize(kernels.Rows, kernels.Floats) {}
func (*tally) Sync() error                           { return nil }

// Draw makes it a device that draws, as GPUs do; no operator runs.
func (*tally) Draw(kernels.Buf[int32], kernels.Floats, kernels.Buf[int32]) {}

// nothing is a number of bytes that are not there.
type nothing int

func (n nothing) Bytes() int { return int(n) }

// fitsMicro returns an error with the sum where the operators take more than the memory
// that is free.
func (o *Options) fitsMicro(rigs []*rig, c *format.Config, columns []convert.Options) error {
	t := &tally{}
	counted := make([]*rig, len(rigs))
	for i, g := range rigs {
		counted[i] = &rig{dev: t, threads: g.threads, readSize: g.readSize}
	}
	if _, err := o.sections(counted, c, columns, nil); err != nil {
		return err
	}
	free, err := rigs[0].available()
	if need := t.bytes + int64(rigs[0].readSize); err == nil && free > 0 && need > free {
		return fmt.Errorf("weights, KV caches and rows of the operators of %s, and what the read bandwidth is measured on, take %s, and %s are free: "+
			"shorten --context, lower --batch or --prompt, or --compare fewer settings", o.Shape, size(need), size(free))
	}
	return err
}
