//go:build cuda

package cuda

import (
	"math"
	"testing"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// TestPeakRead: every word is read, once, whatever is left over behind four loads of each
// thread: an exclusive or forgets what it meets twice.
func TestPeakRead(t *testing.T) {
	d := newTestDevice(t)
	const ctas = 2
	for _, n := range []int{1, 511, 512, 2047, 2048, 5000} { // of 512 threads, 16 bytes each
		data := make([]int32, 4*n)
		want := int32(0)
		for i := range data {
			data[i] = int32(i * -0x61c88647)
			want ^= data[i]
		}
		from, out := upload(t, d, data), upload(t, d, make([]int32, ctas*peakThreads))
		d.launch("peak_read", peakShape(ctas), at(out), at(from), uint64(n))
		got := int32(0)
		for _, v := range downloaded(t, d, out) {
			got ^= v
		}
		if got != want {
			t.Errorf("%d words: %#x, want %#x", n, got, want)
		}
	}
}

// operand is word r of lane l (ceilings.cu).
func operand(l, r int) uint32 { return uint32(l*6+r+1) * 0x9e3779b9 }

// product returns the sums of each lane's four elements of a·b, by the fragments' layout in
// the PTX ISA: a register holds per inputs of row g or g+8, or of column g, where lane l
// is 4·g + t. abs has the sums of magnitudes.
func product(per int, value func(word uint32, i int) float64) (sums, abs [32]float64) {
	depth := 8 * per
	a, b := make([]float64, 16*depth), make([]float64, 8*depth)
	for l := range 32 {
		g, t := l/4, l%4
		for i := range per {
			for r := range 4 {
				a[(g+r%2*8)*depth+t*per+i+r/2*4*per] = value(operand(l, r), i)
			}
			for r := range 2 {
				b[g*depth+t*per+i+r*4*per] = value(operand(l, 4+r), i)
			}
		}
	}
	for l := range 32 {
		for i := range 4 {
			row, col := l/4+i/2*8, l%4*2+i%2
			for k := range depth {
				v := a[row*depth+k] * b[col*depth+k]
				sums[l], abs[l] = sums[l]+v, abs[l]+math.Abs(v)
			}
		}
	}
	return sums, abs
}

// TestPeakMMA: every product is done as often as it counts.
func TestPeakMMA(t *testing.T) {
	const n, ctas = 3, 2
	d := newTestDevice(t)
	ints := upload(t, d, make([]int32, ctas*peakThreads))
	d.launch("peak_mma_s8", peakShape(ctas), at(ints), n)
	sums, _ := product(4, func(w uint32, i int) float64 { return float64(int8(w >> (8 * i))) })
	for i, got := range downloaded(t, d, ints) {
		if want := int32(n * peakChains * sums[i%32]); got != want {
			t.Fatalf("s8: thread %d has %d, want %d", i, got, want)
		}
	}

	floats := upload(t, d, make([]float32, ctas*peakThreads))
	d.launch("peak_mma_f16", peakShape(ctas), at(floats), n)
	sums, abs := product(2, func(w uint32, i int) float64 {
		return float64(quant.Float16To32(uint16(w>>(16*i))&0x83ff | 0x3800))
	})
	for i, got := range downloaded(t, d, floats) {
		// A chain sums 16·n exact products, 32 sums follow. Tensor cores may cut off where
		// the definition rounds: n·2ε·Σ|a·b| of n terms.
		tol := (16*n + 4*peakChains) * 0x1p-23 * n * peakChains * abs[i%32]
		if want := n * peakChains * sums[i%32]; math.Abs(float64(got)-want) > tol {
			t.Fatalf("f16: thread %d has %v, want %v within %v", i, got, want, tol)
		}
	}
}

// downloaded returns what a buffer holds, and fails where the device has failed.
func downloaded[T kernels.Elem](t *testing.T, d *Device, b kernels.Buf[T]) []T {
	t.Helper()
	got := make([]T, b.N)
	kernels.Download(d, got, b)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestCeilings: they are measured, leave no memory behind, and what fails is Sync's error.
func TestCeilings(t *testing.T) {
	d, inject := fake(t)
	ceilings := map[string]func() float64{
		"read": func() float64 { return d.ReadBandwidth(0) },
		"int8": func() float64 { return d.Int8Peak(4) },
		"f16":  d.Float16Peak,
	}
	free := func() int64 {
		n, _, err := d.driver.MemInfo()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := free()
	for name, measure := range ceilings {
		if v := measure(); v <= 0 || math.IsInf(v, 0) {
			t.Errorf("%s: %v a second", name, v)
		}
		if err := d.Sync(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		inject("cuMemAllocAsync=2@1")
		if v := measure(); v != 0 {
			t.Errorf("%s: %v a second without memory", name, v)
		}
		want(t, d.Sync(), "cuda: allocation of", "out of memory")
		inject("cuLaunchKernel=1@1")
		if v := measure(); v != 0 {
			t.Errorf("%s: %v a second without launches", name, v)
		}
		want(t, d.Sync(), "cuLaunchKernel: invalid argument")
		inject("")
	}
	if err := d.Sync(); err != nil || free() != before {
		t.Errorf("%d bytes are free, %d were before; error %v", free(), before, err)
	}
}

func TestModel(t *testing.T) {
	if d, _ := fake(t); d.Model() != "emulator" {
		t.Errorf("the GPU is called %q", d.Model())
	}
}
