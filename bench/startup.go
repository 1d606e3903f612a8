package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/runtime/device"
	"github.com/llmqat/llmqat/runtime/kvcache"
	"github.com/llmqat/llmqat/runtime/model"
)

// Startup is what a fresh process needs, with the file in the page cache.
type Startup struct {
	FirstToken time.Duration `json:"first_token_ns"` // from the start of main to the first token after a prompt of one
	Resident   int64         `json:"resident_bytes"` // then; the mapped file counts as far as it was read
}

// probe is the first argument that makes a process measure its own start.
const probe = "startup-probe"

// startup runs this program again to measure a fresh process on f: twice, the
// first time to bring the file into the page cache.
func startup(ctx context.Context, f file, device string, threads int) (s Startup, err error) {
	self, err := os.Executable()
	if err != nil {
		return s, err
	}
	for range 2 {
		out, err := exec.CommandContext(ctx, self, probe, f.path, device, strconv.Itoa(threads)).Output()
		if err != nil {
			if e, ok := err.(*exec.ExitError); ok {
				err = fmt.Errorf("%w: %s", err, e.Stderr)
			}
			return s, fmt.Errorf("start of %s: %w", f.path, err)
		}
		if err := json.Unmarshal(out, &s); err != nil {
			return s, fmt.Errorf("start of %s: %w", f.path, err)
		}
	}
	return s, nil
}

// RunProbe does a startup probe if the arguments ask for one, prints what it
// measured to w, and reports whether it did. A failure ends the process.
func RunProbe(args []string, w io.Writer) bool {
	if len(args) != 4 || args[0] != probe {
		return false
	}
	start := time.Now()
	s, err := firstToken(args[1], args[2], args[3], start)
	if err == nil {
		err = json.NewEncoder(w).Encode(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func firstToken(path, deviceName, threads string, start time.Time) (s Startup, err error) {
	n, err := strconv.Atoi(threads)
	if err != nil {
		return s, err
	}
	opened, err := device.Open(deviceName, n)
	if err != nil {
		return s, err
	}
	defer opened.Close()
	dev := opened.Device
	f, err := qat.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	m, err := model.Load(dev, f, model.Options{MaxSeqs: 1})
	if err != nil {
		return s, err
	}
	defer m.Close()
	h := f.Header()
	pool, err := kvcache.NewPool(dev, &h.Config, h.Quantization.KV(), 1)
	if err != nil {
		return s, err
	}
	m.Forward([]model.Run{{Tokens: []int32{int32(max(h.Config.BOSTokenID, 0))}, Pages: []int32{0}}}, []int32{0}, nil, pool.Layers)
	if err := m.Logits(func(int, []float32) {}); err != nil {
		return s, err
	}
	s.FirstToken = time.Since(start)
	s.Resident = residentBytes()
	return s, nil
}
