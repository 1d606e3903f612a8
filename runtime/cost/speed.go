// Package cost says what passes of a model take, before they are made: multiply-adds, bytes
// that are read, and by what a device reaches at most, how long that is.
package cost

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/runtime/device"
)

// Speed is what a device does at most in a second.
type Speed struct {
	Float float64 // multiply-adds of floats
	Int8  float64 // multiply-adds of int8
	Read  float64 // bytes read from memory
}

// UnmarshalText reads "FLOAT,INT8,READ", as 495e12,990e12,3.35e12; "" leaves s zero.
func (s *Speed) UnmarshalText(text []byte) error {
	*s = Speed{}
	if len(text) == 0 {
		return nil
	}
	fields := strings.Split(string(text), ",")
	to := []*float64{&s.Float, &s.Int8, &s.Read}
	if len(fields) != len(to) {
		return speedError(text)
	}
	for i, f := range fields {
		v, err := strconv.ParseFloat(strings.TrimSpace(f), 64)
		if err != nil || !(v >= 1 && v <= 1e30) {
			return speedError(text)
		}
		*to[i] = v
	}
	return nil
}

func speedError(text []byte) error {
	return fmt.Errorf("%q: want FLOAT,INT8,READ: multiply-adds a second of floats and of int8, and bytes read a second, as 495e12,990e12,3.35e12", text)
}

// Or returns s and what it is of, in words; where s is zero, what dev reaches with weights of
// some bits.
func (s Speed) Or(dev *device.Opened, weightBits int) (_ Speed, of string, err error) {
	if s != (Speed{}) {
		return s, "the machine of --speed", nil
	}
	s, err = Measure(dev.Device, weightBits)
	return s, fmt.Sprintf("%s, %d threads", dev.Device.Name(), dev.Threads), err
}

// bufferBytes exceeds the caches of processors and GPUs several times.
const bufferBytes = 256 << 20

// Measure returns what dev reaches with weights of some bits: half a second.
func Measure(dev kernels.Device, weightBits int) (Speed, error) {
	d, ok := dev.(interface {
		ReadBandwidth(size int) float64
		Int8Peak(weightBits int) float64
	})
	if !ok {
		return Speed{}, fmt.Errorf("%s does not measure itself: name a speed", dev.Name())
	}
	s := Speed{Int8: d.Int8Peak(weightBits), Read: d.ReadBandwidth(bufferBytes)}
	switch d := dev.(type) {
	case interface{ Float32Peak() float64 }:
		s.Float = d.Float32Peak()
	case interface{ Float16Peak() float64 }:
		s.Float = d.Float16Peak()
	}
	return s, dev.Sync()
}
