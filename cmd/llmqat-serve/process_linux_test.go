package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/llmqat/llmqat/internal/long"
)

// dial opens a connection to the process.
func (p *process) dial() (net.Conn, error) {
	return net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
}

// memory is a line of /proc/PID/status, in KiB.
func (p *process) memory(t *testing.T, key string) int64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %s", key, data)
	return 0
}

// files counts the process' file descriptors.
func (p *process) files(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// follow drops the log to its end, so that the process can go on writing.
func (p *process) follow() {
	go func() {
		for p.logs.Scan() {
		}
	}()
}

// With few file descriptors a flood of connections is waited out: who is connected is served, and others are as
// soon as there is room.
func TestFewDescriptors(t *testing.T) {
	p := ready(t, "--threads 1")
	few := unix.Rlimit{Cur: 64, Max: 64}
	if err := unix.Prlimit(p.Process.Pid, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		t.Fatal(err)
	}
	p.follow()
	kept := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: time.Minute}
	const body = `{"prompt":"x","max_tokens":4,"temperature":0}`
	if _, err := postTo(kept, p.url, body); err != nil {
		t.Fatal(err)
	}
	n := long.Rounds(t, 200, 100)
	var flood []net.Conn
	for i := range n {
		c, err := net.DialTimeout("tcp", strings.TrimPrefix(p.url, "http://"), time.Second)
		if err != nil {
			t.Logf("connection %d: %v", i, err) // the backlog is full: as good as refused
			break
		}
		flood = append(flood, c)
		if i%(n/4) == n/4-1 {
			if _, err := postTo(kept, p.url, body); err != nil {
				t.Errorf("a client that was connected before, after %d connections: %v", i+1, err)
			}
		}
	}
	if files := p.files(t); files < 60 {
		t.Errorf("the process has %d files open: the flood does not reach its limit", files)
	}
	begin := time.Now()
	for _, c := range flood {
		c.Close()
	}
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	if _, err := postTo(fresh, p.url, body); err != nil {
		t.Errorf("a new client after the flood: %v", err)
	}
	took := time.Since(begin)
	t.Logf("%d connections; a new client was served %v after they closed", len(flood), took.Round(time.Millisecond))
	if long.Run() && took > 2*time.Second {
		t.Errorf("recovered in %v, want 2 s", took)
	}
}

// ready starts a process and reads its log to the line that says so.
func ready(t *testing.T, args string) *process {
	t.Helper()
	p := start(t, args)
	p.until(t, "ready")
	return p
}

// Requests under way on SIGTERM are answered to their ends, others are refused, and the process ends well.
func TestDrains(t *testing.T) {
	for i := range long.Rounds(t, 2, 1) {
		drains(t, i)
		if t.Failed() {
			t.Fatalf("in drain %d", i)
		}
	}
}

func drains(t *testing.T, round int) {
	p := ready(t, "--threads 1")
	defer p.Process.Kill()
	var streams []*bufio.Reader
	for range 6 {
		c, err := p.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(c, request(`{"prompt":"Once","max_tokens":400,"ignore_eos":true,"stream":true}`))
		r := bufio.NewReader(c)
		if err := tokens(r, 1); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, r)
	}
	var plain sync.WaitGroup
	for range 4 {
		c, err := p.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(c, request(`{"prompt":"Once","max_tokens":400,"ignore_eos":true}`))
		plain.Go(func() {
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("a request under way: %v, %v", resp, err)
				return
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Errorf("a request under way: %v", err)
			}
		})
	}
	for asked := time.Now(); ; { // until the last of them was read
		resp, err := http.Get(p.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if strings.Contains(string(data), "\nllmqat_prompt_tokens_total 20\n") {
			break
		}
		if time.Since(asked) > 20*time.Second {
			t.Fatalf("10 prompts of 2 tokens are not there:\n%s", data)
		}
	}
	time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for i, r := range streams {
		data, err := io.ReadAll(r)
		if err != nil && err != io.ErrUnexpectedEOF || !strings.Contains(string(data), "data: [DONE]\n\n\r\n0\r\n") {
			t.Errorf("stream %d ends with %.100q (%v)", i, data[max(0, len(data)-100):], err)
		}
	}
	plain.Wait()
	p.until(t, "drained")
	if err := p.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
	if c, err := p.dial(); err == nil {
		c.Close()
		t.Error("somebody listens still")
	}
}

// A model file that is replaced, as by quantize, goes on being served as it was; one that is cut off fails
// requests, and the process lives.
func TestModelFileChanges(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.qat")
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("m.qat", demo)
	p := ready(t, "--threads 2 --model "+path)
	p.follow()
	const body = `{"prompt":"Once upon a time","max_tokens":40,"temperature":0,"logprobs":2}`
	want, err := postTo(http.DefaultClient, p.url, body)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "cut")
	if err := os.Link(path, link); err != nil { // the mapped file, when path is another's
		t.Skip(err)
	}
	write("new", make([]byte, len(demo)))
	if err := os.Rename(filepath.Join(dir, "new"), path); err != nil {
		t.Fatal(err)
	}
	if got, err := postTo(http.DefaultClient, p.url, body); err != nil || got != want {
		t.Errorf("replaced: %.100s (%v), want %.100s", got, err, want)
	}
	if err := os.Truncate(link, 4096); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got, err := postTo(http.DefaultClient, p.url, body); err == nil || !strings.HasPrefix(err.Error(), "500 ") || !strings.Contains(err.Error(), "internal_error") {
			t.Errorf("cut off: %.100s (%v), want a 500 with error JSON", got, err)
		}
	}
	if resp, err := http.Get(p.url + "/v1/models"); err != nil || resp.StatusCode != 200 {
		t.Errorf("afterwards: %v, %v", resp, err)
	}
}

// traffic counts what the server answers to.
type traffic struct {
	done, full, failed atomic.Int64
	mu                 sync.Mutex
	refusals           spread
	failure            atomic.Pointer[string]
}

func (l *traffic) post(client *http.Client, url, body string) {
	begin := time.Now()
	_, err := postTo(client, url, body)
	switch {
	case err == nil:
		l.done.Add(1)
	case strings.HasPrefix(err.Error(), "429 ") && strings.Contains(err.Error(), `"rate_limit_error"`):
		l.full.Add(1)
		l.mu.Lock()
		l.refusals = append(l.refusals, time.Since(begin))
		l.mu.Unlock()
	default:
		l.failed.Add(1)
		s := err.Error()
		l.failure.CompareAndSwap(nil, &s)
	}
}

// atOnce bounds the connections that ask for too much: those that wait in the client would tell of the client.
const atOnce = 200

// At 20 times what the server can do, what it accepts is answered, the rest refused at once, and memory stays.
// LLMQAT_LONG is the seconds of it.
func TestOverload(t *testing.T) {
	p := ready(t, "--threads 1 --max-seqs 4 --max-queue 16")
	p.follow()
	const body = `{"prompt":"Once upon a time","max_tokens":128,"temperature":0,"ignore_eos":true}`
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce, MaxConnsPerHost: atOnce}, Timeout: 5 * time.Minute}
	defer client.CloseIdleConnections()

	var calm traffic
	for range 2 { // as many as the queue takes
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() { calm.post(client, p.url, body) })
		}
		all.Wait()
	}
	begin := time.Now()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 2 {
				calm.post(client, p.url, body)
			}
		})
	}
	all.Wait()
	capacity := 32 / time.Since(begin).Seconds()
	rss, connected, most := p.memory(t, "VmRSS"), int64(0), int64(0)
	if calm.done.Load() != 2*16+32 {
		t.Fatalf("within its capacity: %d answered, %d refused, %d failed: %v", calm.done.Load(), calm.full.Load(), calm.failed.Load(), calm.failure.Load())
	}

	var wild traffic
	seconds := long.Rounds(t, 2, 1)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	begin = time.Now()
	asked, unsent := 0, 0
	var under atomic.Int64
	for over := false; !over; {
		select {
		case <-ctx.Done():
			over = true
		case <-tick.C:
			for due := int(20 * capacity * time.Since(begin).Seconds()); asked < due; asked++ {
				if under.Load() == atOnce {
					unsent++
					continue
				}
				under.Add(1)
				all.Go(func() {
					defer under.Add(-1)
					wild.post(client, p.url, body)
				})
			}
			if rss := p.memory(t, "VmRSS"); time.Since(begin) < time.Duration(seconds)*time.Second/10 {
				connected = max(connected, rss) // with all connections
			} else {
				most = max(most, rss)
			}
		}
	}
	took := time.Since(begin)
	all.Wait()
	t.Logf("capacity %.0f requests/s; %d asked for in %.1f s, %d of them unsent for lack of a connection: %d answered, %d refused (%v), %d failed",
		capacity, asked, took.Seconds(), unsent, wild.done.Load(), wild.full.Load(), wild.refusals, wild.failed.Load())
	t.Logf("RSS %.1f MiB at capacity, %.1f in the first tenth of the overload, %.1f at most later", float64(rss)/1024, float64(connected)/1024, float64(most)/1024)
	if n := wild.failed.Load(); n > 0 {
		t.Errorf("%d failed, one with %s", n, *wild.failure.Load())
	}
	if wild.done.Load() == 0 || wild.full.Load() == 0 {
		t.Error("want some answered and some refused")
	}
	if _, err := postTo(client, p.url, body); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if long.Run() && float64(most) > 1.1*float64(connected) {
		t.Errorf("RSS has grown by more than a tenth")
	}
	if long.Run() && wild.refusals.at(0.99) > 50*time.Millisecond {
		t.Errorf("the slowest percent was refused after %v, want 50 ms", wild.refusals.at(0.99))
	}
}

// cpu is the processor time that the process has used, to 10 ms.
func (p *process) cpu(t *testing.T) time.Duration {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:])) // from the state on, field 3
	user, err1 := strconv.Atoi(f[14-3])
	system, err2 := strconv.Atoi(f[15-3])
	if err1 != nil || err2 != nil {
		t.Fatalf("%s: %v, %v", data, err1, err2)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// Clients that read slowly and clients that send slowly do not disturb others. LLMQAT_LONG is how many of each. What
// they cost is told by the server's processor time for an answer, as others may use the machine.
func TestSlowClients(t *testing.T) {
	p := ready(t, "--threads 1 --read-timeout 10m --write-timeout 10m")
	p.follow()
	n := long.Rounds(t, 20, 8)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	rounds, window := 1, 300*time.Millisecond
	if long.Run() {
		rounds, window = 4, 15*time.Second
	}
	type sum struct {
		answers int64
		cpu     time.Duration
	}
	normal := func(s *sum) {
		var all sync.WaitGroup
		var l traffic
		begin, end := p.cpu(t), time.Now().Add(window)
		for range 4 {
			all.Go(func() {
				for time.Now().Before(end) {
					l.post(client, p.url, `{"prompt":"Once upon a time","max_tokens":32,"temperature":0,"ignore_eos":true}`)
				}
			})
		}
		all.Wait()
		if l.failed.Load()+l.full.Load() > 0 {
			t.Errorf("%d normal requests failed, one with %v", l.failed.Load()+l.full.Load(), l.failure.Load())
		}
		s.answers += l.done.Load()
		s.cpu += p.cpu(t) - begin
	}
	var warm, alone, among sum
	normal(&warm)
	for range rounds {
		normal(&alone)
		stop := slowClients(t, p, n)
		normal(&among)
		stop()
	}
	if alone.answers == 0 || among.answers == 0 {
		t.Fatalf("%d answers without slow clients, %d with them", alone.answers, among.answers)
	}
	each := func(s sum) time.Duration { return (s.cpu / time.Duration(s.answers)).Round(time.Microsecond) }
	loss := 100 * (1 - float64(each(alone))/float64(each(among)))
	t.Logf("%d slow readers and %d slow senders: %d answers of %v each without them, %d of %v with them (%.1f %% less for others)",
		n, n, alone.answers, each(alone), among.answers, each(among), loss)
	if long.Run() && loss > 5 {
		t.Errorf("normal traffic loses %.1f %%, want at most 5", loss)
	}
}

// slowClients connects n that read a large answer a few bytes at a time and n that send their request so.
func slowClients(t *testing.T, p *process, n int) (stop func()) {
	t.Helper()
	var conns []net.Conn
	quit := make(chan struct{})
	var all sync.WaitGroup
	slowly := func(step func() error) {
		all.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					if err := step(); err != nil {
						select {
						case <-quit:
						default:
							t.Errorf("a slow client was cut: %v", err)
						}
						return
					}
				case <-quit:
					return
				}
			}
		})
	}
	large := request(fmt.Sprintf(`{"prompt":"%s","max_tokens":0,"echo":true,"logprobs":5,"n":4}`, strings.Repeat(" a", 400)))
	for range n {
		reader, err := p.dial()
		if err != nil {
			t.Fatal(err)
		}
		_ = reader.(*net.TCPConn).SetReadBuffer(4 << 10)
		io.WriteString(reader, large)
		buf := make([]byte, 16)
		if _, err := io.ReadFull(reader, buf); err != nil { // the answer is there
			t.Fatal(err)
		}
		slowly(func() error { _, err := io.ReadFull(reader, buf); return err })
		loris, err := p.dial()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(loris, "POST /v1/completions HTTP/1.1\r\nHost: t\r\nX: ")
		slowly(func() error { _, err := io.WriteString(loris, "x"); return err })
		conns = append(conns, reader, loris)
	}
	return func() {
		close(quit)
		all.Wait()
		for _, c := range conns {
			c.Close()
		}
	}
}

// Memory does not grow with the requests that were answered, nor do files. LLMQAT_LONG is how many.
func TestTinyRequests(t *testing.T) {
	p := ready(t, "--threads 1")
	p.follow()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	n := long.Rounds(t, 600, 300)
	var l traffic
	some := func(n int) {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range n / 4 {
					l.post(client, p.url, `{"prompt":"x","max_tokens":1}`)
				}
			})
		}
		all.Wait()
	}
	some(n / 10) // to be warm
	files, begin := p.files(t), time.Now()
	const samples = 18
	var rss, hours [samples]float64
	for i := range samples {
		some(n / 20)
		rss[i], hours[i] = float64(p.memory(t, "VmRSS"))/1024, time.Since(begin).Hours()
	}
	if l.failed.Load()+l.full.Load() > 0 {
		t.Errorf("%d failed, one with %v", l.failed.Load()+l.full.Load(), l.failure.Load())
	}
	if now := p.files(t); now > files {
		t.Errorf("%d files are open, %d were", now, files)
	}
	perHour := slope(hours[:], rss[:])
	t.Logf("%d requests in %v: RSS %.1f to %.1f MiB, slope %.2f MiB/h", l.done.Load(), time.Since(begin).Round(time.Second), rss[0], rss[samples-1], perHour)
	if grown := rss[samples-1] - rss[0]; long.Run() && grown > 16 {
		t.Errorf("RSS has grown by %.1f MiB", grown)
	}
}

// slope is that of the line of least squares.
func slope(x, y []float64) float64 {
	var mx, my, xy, xx float64
	for i := range x {
		mx, my = mx+x[i]/float64(len(x)), my+y[i]/float64(len(x))
	}
	for i := range x {
		xy += (x[i] - mx) * (y[i] - my)
		xx += (x[i] - mx) * (x[i] - mx)
	}
	return xy / xx
}
