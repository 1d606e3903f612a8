package cuda

import (
	"fmt"
	"runtime/debug"

	"github.com/llmqat/llmqat/kernels"
)

// staging is the page-locked memory that copies to and from the GPU pass through, in
// two halves: the host fills one while the GPU still reads the other, so weights come
// as fast as the slower of both. It needs no second stream: nothing computes while
// weights are copied, and a step's metadata has to arrive before its kernels run.
type staging struct {
	driver driver
	all    []byte
	halves [2]half
	now    int // the half being filled
	used   int // bytes of it that queued uploads read
}

type half struct {
	bytes []byte
	read  event // after the last upload from it
	busy  bool  // read may not have been reached
}

// halfBytes takes 80 µs over PCIe 5: long beside a call. A step's metadata and a batch's
// logits fit.
const halfBytes = 4 << 20

func newStaging(d driver) (s staging, err error) {
	s.driver = d
	if s.all, err = d.AllocHost(2 * halfBytes); err != nil {
		return s, err
	}
	for i := range s.halves {
		h := &s.halves[i]
		h.bytes = s.all[i*halfBytes : (i+1)*halfBytes]
		if h.read, err = d.NewEvent(); err != nil {
			return s, err
		}
	}
	return s, nil
}

// room returns memory to be filled from its start, at least n bytes of the halfBytes.
func (s *staging) room(n int) ([]byte, error) {
	h := &s.halves[s.now]
	if s.used+n > len(h.bytes) {
		if err := s.driver.Record(h.read); err != nil {
			return nil, err
		}
		h.busy = true
		s.now, s.used = 1-s.now, 0
		if h = &s.halves[s.now]; h.busy {
			if err := s.driver.Await(h.read); err != nil {
				return nil, err
			}
			h.busy = false
		}
	}
	return h.bytes[s.used:], nil
}

// idle says that the stream has no work left.
func (s *staging) idle() {
	s.used = 0
	for i := range s.halves {
		s.halves[i].busy = false
	}
}

// copyFrom copies as much of src as dst takes. src may be a file's mapping.
func copyFrom(dst, src []byte) (n int, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		v := recover()
		if _, fault := v.(interface{ Addr() uintptr }); fault {
			err = fmt.Errorf("%w (%v)", kernels.ErrFault, v)
		} else if v != nil {
			panic(v)
		}
	}()
	return copy(dst, src), nil
}
