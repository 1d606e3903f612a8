package bench

import (
	"cmp"
	"runtime"

	"github.com/llmqat/llmqat/kernels/cpu"
)

// rig is the machine with one number of threads, and what its ceilings were over
// the run.
type rig struct {
	dev     *cpu.Device
	read    []float64
	int8    []float64
	int8w8  []float64
	float32 []float64
}

// Ceilings are what the machine allows a number of threads, measured beside samples.
type Ceilings struct {
	Threads       int     `json:"threads"`
	ReadBandwidth float64 `json:"read_bandwidth"` // bytes/s
	Int8Peak      float64 `json:"int8_peak"`      // MAC/s of the device's best int8 instructions, with weights of 4 bits
	Int8W8Peak    float64 `json:"int8_w8_peak"`   // and of 8, which on AVX2 need more of them
	Float32Peak   float64 `json:"float32_peak"`   // MAC/s of its FMAs
}

// int8 is the peak of integer products with weights of some bits.
func (c *Ceilings) int8(weightBits int) float64 {
	if weightBits == 8 {
		return c.Int8W8Peak
	}
	return c.Int8Peak
}

// newRigs returns a rig for each number of threads, 0 for one a core; close ends
// their workers.
func newRigs(threads []int) (rigs []*rig, close func(), err error) {
	close = func() {
		for _, g := range rigs {
			g.dev.Close()
		}
	}
	for _, n := range threads {
		dev, err := cpu.New(n, "")
		if err != nil {
			close()
			return nil, nil, err
		}
		rigs = append(rigs, &rig{dev: dev})
	}
	return rigs, close, nil
}

// readSize returns the size of the buffer whose reading gives the bandwidth: several
// times the caches, which on large servers hold 4 MB a core and more.
func readSize(threads int) int { return max(256<<20, threads*32<<20) }

// peaks measures how fast the rig multiplies.
func (g *rig) peaks() Ceilings {
	c := Ceilings{Threads: g.dev.Workers(), Int8Peak: g.dev.Int8Peak(4), Int8W8Peak: g.dev.Int8Peak(8), Float32Peak: g.dev.Float32Peak()}
	g.int8, g.int8w8, g.float32 = append(g.int8, c.Int8Peak), append(g.int8w8, c.Int8W8Peak), append(g.float32, c.Float32Peak)
	return c
}

// bandwidth measures how fast the rig reads.
func (g *rig) bandwidth() float64 {
	g.read = append(g.read, g.dev.ReadBandwidth(readSize(g.dev.Workers())))
	return g.read[len(g.read)-1]
}

// median returns the medians of everything that was measured.
func (g *rig) median() Ceilings {
	return Ceilings{g.dev.Workers(), median(g.read), median(g.int8), median(g.int8w8), median(g.float32)}
}

// most returns the largest of the numbers of threads.
func most(threads []int) int {
	n := 0
	for _, t := range threads {
		n = max(n, cmp.Or(t, runtime.GOMAXPROCS(0)))
	}
	return n
}
