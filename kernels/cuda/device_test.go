//go:build cuda

package cuda

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// want fails unless err has all parts.
func want(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if err == nil || !strings.Contains(err.Error(), p) {
			t.Errorf("error %q lacks %q", err, p)
		}
	}
}

func upload[T kernels.Elem](t *testing.T, d *Device, v []T) kernels.Buf[T] {
	t.Helper()
	b, err := kernels.Alloc[T](d, len(v))
	if err != nil {
		t.Fatal(err)
	}
	kernels.Upload(d, b, v)
	return b
}

// gathering is a Gather whose result is known.
type gathering struct {
	out, x kernels.Floats
	rows   kernels.Buf[int32]
}

func newGathering(t *testing.T, d *Device, rows ...int32) *gathering {
	t.Helper()
	g := &gathering{rows: upload(t, d, rows)}
	var err, err2 error
	g.x, err = kernels.NewFloats(d, 4, 8)
	g.out, err2 = kernels.NewFloats(d, len(rows), 8)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	for i := range 4 {
		kernels.Upload(d, g.x.Part(i, i+1).Buf, []float32{float32(i)})
	}
	return g
}

func (g *gathering) run(d *Device) { d.Gather(g.out, g.x, g.rows) }

func (g *gathering) check(t *testing.T, d *Device, want ...float32) {
	t.Helper()
	got := make([]float32, g.out.N)
	kernels.Download(d, got, g.out.Buf)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	for i, v := range want {
		if got[i*g.out.Stride] != v {
			t.Errorf("row %d starts with %v, want %v", i, got[i*g.out.Stride], v)
		}
	}
}

// TestNoDriver: the binary starts without a driver, and New says what is missing.
func TestNoDriver(t *testing.T) {
	const missing = "/nowhere/libcuda.so.1"
	if os.Getenv("LLMQAT_LIBCUDA") == missing {
		_, err := New(0)
		want(t, err, "cuda: no CUDA driver", missing)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoDriver$")
	cmd.Env = append(os.Environ(), "LLMQAT_LIBCUDA="+missing)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestNoSuchDevice(t *testing.T) {
	newTestDevice(t).Close()
	_, err := New(1000)
	want(t, err, "no GPU 1000")
}

func TestBadRowIsNamedAndForgotten(t *testing.T) {
	d := newTestDevice(t)
	good, bad := newGathering(t, d, 3, 0), newGathering(t, d, 1, 4, -1)
	good.run(d)
	bad.run(d)
	good.run(d)
	want(t, d.Sync(), "cuda: Gather: row 1: x has no such row")
	good.run(d)
	good.check(t, d, 3, 0)
}

// TestDownloadSettles: a step ends with one wait, for what it downloads and for whether
// a row failed; then nothing is downloaded.
func TestDownloadSettles(t *testing.T) {
	d := newTestDevice(t)
	g := newGathering(t, d, 3)
	g.run(d)
	got := []float32{7}
	kernels.Download(d, got, g.out.Buf)
	d.driver = noDownloads{d.driver}
	if err := d.Sync(); err != nil || got[0] != 3 {
		t.Errorf("downloaded %v, want 3; Sync: %v", got, err)
	}
	d.driver = d.driver.(noDownloads).driver
	bad := newGathering(t, d, 4)
	bad.run(d)
	kernels.Download(d, got, g.out.Buf)
	g.run(d)
	if want(t, d.Sync(), "cuda: Gather: row 0: x has no such row"); got[0] != 3 {
		t.Errorf("after a failure %v was downloaded", got)
	}
	g.run(d)
	g.check(t, d, 3)
}

type noDownloads struct{ driver }

func (noDownloads) Download([]byte, address) error { return errors.New("a download") }

// TestThreads: a device works from whatever thread its user's goroutine is on.
func TestThreads(t *testing.T) {
	d := newTestDevice(t)
	g := newGathering(t, d, 2)
	for range 3 {
		done := make(chan bool)
		go func() {
			defer close(done)
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			g.run(d)
			g.check(t, d, 2)
		}()
		<-done
	}
}

// TestStaging: what is larger than the staging memory passes in pieces, and small
// uploads do not overwrite each other in it.
func TestStaging(t *testing.T) {
	d := newTestDevice(t)
	b := make([]byte, 5*halfBytes+12345)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	m, err := d.Import(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		d.Upload(m, i, b[100+i:101+i])
	}
	copy(b, slices.Clone(b[100:105]))
	got := make([]byte, len(b))
	d.Download(got, m, 0)
	if !slices.Equal(got, b) {
		t.Error("bytes came back changed")
	}
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
}

// counting counts a driver's calls.
type counting struct {
	driver
	launches, graphs, captures, updates int
}

func (c *counting) Launch(l []launch, params []uint64) error {
	c.launches++
	return c.driver.Launch(l, params)
}

func (c *counting) LaunchGraph(g graph) error {
	c.graphs++
	return c.driver.LaunchGraph(g)
}

func (c *counting) Capture(l []launch, params []uint64) (graph, error) {
	c.captures++
	return c.driver.Capture(l, params)
}

func (c *counting) Update(g graph, l []launch, params []uint64) (bool, error) {
	c.updates++
	return c.driver.Update(g, l, params)
}

// TestGraphs: repeated work runs as a graph, which is updated where parameters
// change and made anew where the kernels do.
func TestGraphs(t *testing.T) {
	d := newTestDevice(t)
	c := &counting{driver: d.driver}
	d.driver = c
	a, b := newGathering(t, d, 1, 2), newGathering(t, d, 3)
	step := func(n int, g *gathering, rows ...int32) {
		t.Helper()
		kernels.Upload(d, g.rows, rows)
		for range n {
			g.run(d)
		}
		var want []float32
		for _, r := range rows {
			want = append(want, float32(r))
		}
		g.check(t, d, want...)
	}
	for _, s := range []struct {
		n    int
		g    *gathering
		rows []int32
		want counting
	}{
		{graphLen - 1, a, []int32{1, 2}, counting{launches: 1}},
		{graphLen - 1, a, []int32{2, 1}, counting{launches: 1}}, // too short
		{graphLen, a, []int32{0, 3}, counting{launches: 1}},
		{graphLen, a, []int32{3, 1}, counting{captures: 1, graphs: 1}},
		{graphLen, a, []int32{2, 2}, counting{graphs: 1}},
		{graphLen, b, []int32{1}, counting{launches: 1}},
		{graphLen, a, []int32{1, 0}, counting{graphs: 1}},
		{graphLen, b, []int32{2}, counting{updates: 1, graphs: 1}},
		{graphLen, b, []int32{0}, counting{graphs: 1}},
		{graphLen + 1, b, []int32{3}, counting{launches: 1}},
		{graphLen + 1, b, []int32{1}, counting{updates: 1, captures: 1, graphs: 1}},
	} {
		*c = counting{driver: c.driver}
		step(s.n, s.g, s.rows...)
		s.want.driver = c.driver
		if *c != s.want {
			t.Errorf("%d launches of rows %v: calls %+v, want %+v", s.n, s.rows, *c, s.want)
		}
	}
}

// TestNoAllocations: a step leaves nothing to the garbage collector.
func TestNoAllocations(t *testing.T) {
	const n, cols = 3, 64
	d := newTestDevice(t)
	floats := func(rows, cols int) kernels.Floats {
		f, err := kernels.NewFloats(d, rows, cols)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	x, out, gateUp := floats(n, cols), floats(n, cols), floats(n, 2*cols)
	rows, err := kernels.NewRows(d, n, cols, 8)
	if err != nil {
		t.Fatal(err)
	}
	ints := kernels.Weight{Type: kernels.Int4, Out: cols, In: cols, Data: upload(t, d, make([]uint8, cols*cols/2)), Scale: upload(t, d, make([]float32, cols))}
	halves := kernels.Weight{Type: kernels.Float16, Out: cols, In: cols, Data: upload(t, d, make([]uint8, cols*cols*2))}
	kv, err := kernels.NewKVCache(d, quant.KV{Bits: 4, Scheme: quant.KVHead}, 1, 2, 8)
	if err != nil {
		t.Fatal(err)
	}
	queries, err := kernels.NewQueries(d, n*4, 8, 8)
	if err != nil {
		t.Fatal(err)
	}
	positions := upload(t, d, []int32{0, 1, 2})
	batch := &kernels.Batch{Positions: positions, Slots: positions, QueryStart: upload(t, d, []int32{0, n}), SeqLens: upload(t, d, []int32{n}),
		PageTable: upload(t, d, []int32{0}), T: n, S: 1, MaxPages: 1}
	rope := kernels.RoPE{Cos: upload(t, d, make([]float32, n*4)), Sin: upload(t, d, make([]float32, n*4)), Positions: n, HeadDim: 8}
	attended := floats(n, 32)
	gather := newGathering(t, d, 1, 2)
	weights := []kernels.Weight{ints}
	ids, draws := upload(t, d, make([]int32, n)), upload(t, d, make([]int32, n*kernels.DrawWords))
	host := make([]byte, 64)
	step := func() {
		d.Upload(gather.rows.Mem, 0, host[:4])
		d.Embed(out, halves, positions)
		gather.run(d)
		d.Quantize(rows, x)
		d.RMSNorm(rows, x, x.First(1).Buf, 1e-5)
		d.SwiGLU(rows, gateUp)
		d.Linear(out, rows, weights...)
		d.LinearAdd(out, rows, ints)
		d.LinearAdd(out, kernels.Rows{Bits: 16, N: n, Cols: cols, Stride: x.Stride, F: x}, halves)
		d.RoPEAppendKV(queries, kv, x, batch, rope)
		d.PagedAttention(attended, queries, kv, batch, rope)
		d.Draw(ids, out, draws)
		d.Download(host, attended.Mem, 0)
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	step()
	if allocs := testing.AllocsPerRun(10, step); allocs > 0 {
		t.Errorf("a step allocates %v times", allocs)
	}
}
