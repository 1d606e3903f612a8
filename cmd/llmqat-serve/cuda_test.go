//go:build cuda

package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// onFake skips unless the driver is the stand-in, whose environment can make it fail.
func onFake(t *testing.T) {
	t.Helper()
	if driver := os.Getenv("LLMQAT_LIBCUDA"); driver == "" || filepath.Base(driver) != "libcuda.so.1" {
		t.Skip("LLMQAT_LIBCUDA does not name the stand-in driver")
	}
}

const story = `{"prompt":"Once upon a time","max_tokens":40,"temperature":0}`

// answer returns the status and the body of a request, a POST where it has a body.
func (p *process) answer(t *testing.T, path, body string) (int, string) {
	t.Helper()
	resp, err := http.Get(p.url + path)
	if body != "" {
		resp, err = http.Post(p.url+path, "application/json", strings.NewReader(body))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// drain ends the process, which has to end well.
func (p *process) drain(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.until(t, "drained")
	for p.logs.Scan() {
		if strings.Contains(p.logs.Text(), "panic") {
			t.Error(p.logs.Text())
		}
	}
	if err := p.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
}

// A GPU tells the CPU's story, and the start-up line names it.
func TestCUDAServes(t *testing.T) {
	onFake(t)
	cpu := start(t, "--device cpu")
	cpu.until(t, "ready")
	gpu := start(t, "", "LLMQAT_DEVICE=cuda")
	logs := gpu.until(t, "ready")
	if !strings.Contains(logs, "name=cuda/sm_90") || !strings.Contains(logs, `why="GPU 0, emulator"`) {
		t.Errorf("the start-up lines do not name the GPU:\n%s", logs)
	}
	if got, want := gpu.complete(t, story), cpu.complete(t, story); got != want {
		t.Errorf("the GPU tells %q, the CPU %q", got, want)
	}
	gpu.drain(t)
}

// A GPU that is lost fails what runs with the driver's words, then everything, and
// /health; the process stays, and ends as ever.
func TestCUDALost(t *testing.T) {
	onFake(t)
	p := start(t, "--device cuda", "LLMQAT_FAKECUDA=run=214@700") // of some 50 kernels a token
	p.until(t, "ready")
	if status, body := p.answer(t, "/health", ""); status != 200 {
		t.Fatalf("/health before: %d %s", status, body)
	}
	for _, c := range []struct{ what, path, body string }{
		{"the request that runs", "/v1/completions", story}, {"a later one", "/v1/completions", story}, {"/health", "/health", ""},
	} {
		status, body := p.answer(t, c.path, c.body)
		if status != 503 || !strings.Contains(body, `"device_lost"`) || !strings.Contains(body, "uncorrectable ECC error encountered (CUDA error 214)") {
			t.Errorf("%s: %d %s", c.what, status, body)
		}
	}
	p.drain(t)
}

// A call that fails once costs the requests of one step.
func TestCUDAFailsOnce(t *testing.T) {
	onFake(t)
	p := start(t, "--device cuda", "LLMQAT_FAKECUDA=cuStreamSynchronize=1@30") // one or two a token, a few at start
	p.until(t, "ready")
	if status, body := p.answer(t, "/v1/completions", story); status != 500 || strings.Contains(body, "cuStream") {
		t.Errorf("the request that runs: %d %s", status, body)
	}
	p.until(t, "cuStreamSynchronize: invalid argument (CUDA error 1)")
	if status, body := p.answer(t, "/health", ""); status != 200 {
		t.Errorf("/health: %d %s", status, body)
	}
	if text := p.complete(t, story); !strings.HasPrefix(text, ", there was a little") {
		t.Errorf("the story goes on with %q", text)
	}
	p.drain(t)
}

// What does not fit is told at start, with the sums.
func TestCUDAIsFull(t *testing.T) {
	onFake(t)
	p := start(t, "--device cuda", "LLMQAT_FAKECUDA=memory=2000000")
	logs := p.until(t, "not enough memory")
	for _, want := range []string{"weights 226 kB", "KV cache", "scratch", "on cuda/sm_90", "free of 2000 kB, less 100 kB to spare"} {
		if !strings.Contains(logs, want) {
			t.Errorf("the refusal lacks %q: %s", want, logs)
		}
	}
	if err := p.Wait(); err == nil {
		t.Error("the process ended well")
	}
}
