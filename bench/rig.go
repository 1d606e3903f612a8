package bench

import (
	"cmp"
	"fmt"
	"runtime"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/device"
)

// gauged is a device that measures what it allows, and queues an operator of no work.
type gauged interface {
	kernels.Device
	ReadBandwidth(size int) float64
	Int8Peak(weightBits int) float64
	Barrier()
}

// rig is the machine with one number of threads, or its GPU, and what its ceilings were
// over the run.
type rig struct {
	dev      gauged
	runs     kernels.Device // what models run on: dev, or a profiler around it
	threads  int            // 0: a GPU's
	readSize int            // the buffer whose reading gives the bandwidth: several times the caches
	close    func() error

	read, int8, int8w8, float32, float16 []float64
}

// Ceilings are what the machine allows a number of threads, or a GPU, measured beside
// samples. Floats are multiplied either by a processor's FMAs or by a GPU's tensor cores.
type Ceilings struct {
	Threads       int     `json:"threads,omitempty"`
	ReadBandwidth float64 `json:"read_bandwidth"`         // bytes/s
	Int8Peak      float64 `json:"int8_peak"`              // MAC/s of the device's best int8 instructions, with weights of 4 bits
	Int8W8Peak    float64 `json:"int8_w8_peak"`           // and of 8, which on AVX2 need more of them
	Float32Peak   float64 `json:"float32_peak,omitempty"` // MAC/s of a processor's FMAs
	Float16Peak   float64 `json:"float16_peak,omitempty"` // MAC/s of a GPU's tensor cores by mma.sync, as Int8Peak then is
}

// int8 is the peak of integer products with weights of some bits.
func (c *Ceilings) int8(weightBits int) float64 {
	if weightBits == 8 {
		return c.Int8W8Peak
	}
	return c.Int8Peak
}

// gpu reports whether the ceilings are a GPU's.
func (c *Ceilings) gpu() bool { return c.Float16Peak > 0 }

// float is the peak of products of floats.
func (c *Ceilings) float() float64 { return cmp.Or(c.Float16Peak, c.Float32Peak) }

// intName and floatName name what multiplies.
func (c *Ceilings) intName() string {
	if c.gpu() {
		return "int8 mma"
	}
	return "int8"
}

func (c *Ceilings) floatName() string {
	if c.gpu() {
		return "float16 mma"
	}
	return "float32"
}

// newRigs returns a rig for each of o's numbers of threads, or one for its GPU; close
// ends them.
func (o *Options) newRigs() (rigs []*rig, close func(), err error) {
	close = func() {
		for _, g := range rigs {
			g.close()
		}
	}
	for _, n := range o.Threads {
		g, err := o.newRig(n)
		if err == nil {
			rigs = append(rigs, g)
			if g.threads == 0 && len(o.Threads) > 1 {
				err = fmt.Errorf("%d numbers of threads on a GPU; want them with --device cpu", len(o.Threads))
			}
		}
		if err != nil {
			close()
			return nil, nil, err
		}
	}
	return rigs, close, nil
}

func (o *Options) newRig(threads int) (*rig, error) {
	d, err := device.Open(o.Device, threads)
	if err != nil {
		return nil, err
	}
	g := &rig{dev: d.Device.(gauged), runs: d.Device, threads: d.Threads, close: d.Close}
	own, ok := d.Device.(kernels.OwnMemory)
	if !ok {
		// Caches of large servers have 4 MB a core and more.
		g.readSize = cmp.Or(o.readSize, max(256<<20, g.threads*32<<20))
		return g, nil
	}
	_, total, err := own.Available()
	if err != nil {
		d.Close()
		return nil, err
	}
	g.threads, g.readSize = 0, int(total/32) // 2.5 GB of 80: 50 times the L2
	return g, nil
}

// peaks measures how fast the rig multiplies.
func (g *rig) peaks() (Ceilings, error) {
	c := Ceilings{Threads: g.threads, Int8Peak: g.dev.Int8Peak(4), Int8W8Peak: g.dev.Int8Peak(8)}
	g.int8, g.int8w8 = append(g.int8, c.Int8Peak), append(g.int8w8, c.Int8W8Peak)
	switch d := g.dev.(type) {
	case interface{ Float32Peak() float64 }:
		c.Float32Peak = d.Float32Peak()
		g.float32 = append(g.float32, c.Float32Peak)
	case interface{ Float16Peak() float64 }:
		c.Float16Peak = d.Float16Peak()
		g.float16 = append(g.float16, c.Float16Peak)
	}
	return c, g.dev.Sync()
}

// bandwidth measures how fast the rig reads.
func (g *rig) bandwidth() (float64, error) {
	b := g.dev.ReadBandwidth(g.readSize)
	g.read = append(g.read, b)
	return b, g.dev.Sync()
}

// median returns the medians of everything that was measured.
func (g *rig) median() Ceilings {
	return Ceilings{g.threads, median(g.read), median(g.int8), median(g.int8w8), median(g.float32), median(g.float16)}
}

// most returns the largest of the numbers of threads.
func most(threads []int) int {
	n := 0
	for _, t := range threads {
		n = max(n, cmp.Or(t, runtime.GOMAXPROCS(0)))
	}
	return n
}
