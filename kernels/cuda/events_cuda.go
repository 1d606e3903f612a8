//go:build cuda

package cuda

import (
	"unsafe"

	"gorgonia.org/cu"
)

func (b *binding) NewEvent() (e event, err error) {
	err = b.in("cuEventCreate", func() error {
		made, err := cu.MakeEvent(cu.DefaultEvent)
		e = *(*event)(unsafe.Pointer(&made))
		return err
	})
	return e, err
}

func (b *binding) Record(e event) error {
	return b.in("cuEventRecord", func() error { return (*(*cu.Event)(unsafe.Pointer(&e))).Record(b.stream) })
}

func (b *binding) Await(e event) error {
	return b.in("cuEventSynchronize", func() error { return (*(*cu.Event)(unsafe.Pointer(&e))).Synchronize() })
}
