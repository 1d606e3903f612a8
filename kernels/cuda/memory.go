package cuda

import (
	"encoding/binary"
	"fmt"

	"github.com/llmqat/llmqat/kernels"
)

var order = binary.LittleEndian

// memory is a region of the GPU's memory. An empty one has no address, nor has one that
// was only measured.
type memory struct {
	at    address
	bytes int
}

func (m *memory) Bytes() int { return m.bytes }

// at is the address of a buffer's first element, as a kernel's parameter.
func at[T kernels.Elem](b kernels.Buf[T]) uint64 {
	if b.N == 0 {
		return 0
	}
	return uint64(b.Mem.(*memory).at) + uint64(b.Off)
}

// alloc returns memory with any contents.
func (d *Device) alloc(n int) (*memory, error) {
	if n < 0 || n > 1<<46 {
		return nil, fmt.Errorf("allocation of %d bytes", n)
	}
	m := &memory{bytes: n}
	if n == 0 || d.measuring {
		return m, nil
	}
	var err error
	if m.at, err = d.driver.Alloc(n); err != nil {
		free, total, infoErr := d.driver.MemInfo()
		if infoErr != nil {
			return nil, fmt.Errorf("allocation of %d bytes: %w", n, err)
		}
		return nil, fmt.Errorf("allocation of %d bytes, %d of %d free: %w", n, free, total, err)
	}
	return m, nil
}

// Alloc implements kernels.Memory.
func (d *Device) Alloc(n int) (kernels.Mem, error) {
	m, err := d.alloc(n)
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	if m.at != 0 {
		if err := d.driver.Clear(m.at, n); err != nil {
			d.Free(m)
			return nil, fmt.Errorf("cuda: clearing of %d bytes: %w", n, err)
		}
	}
	return m, nil
}

// Import copies b to the GPU.
func (d *Device) Import(b []byte, copied func(int64)) (kernels.Mem, error) {
	m, err := d.alloc(len(b))
	if err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	for from := 0; from < len(b) && d.err == nil && !d.measuring; from += halfBytes {
		to := min(from+halfBytes, len(b))
		d.Upload(m, from, b[from:to])
		if copied != nil {
			copied(int64(to))
		}
	}
	if err := d.Sync(); err != nil {
		d.Free(m)
		return nil, err
	}
	return m, nil
}

// Free releases memory when the operators queued before are done.
func (d *Device) Free(mem kernels.Mem) {
	m := mem.(*memory)
	if m.at == 0 {
		return
	}
	d.flush()
	d.fail(d.driver.Free(m.at))
	m.at = 0
}

// Upload copies src to dst at byte off, after the operators queued before.
func (d *Device) Upload(dst kernels.Mem, off int, src []byte) {
	m := dst.(*memory).part(off, len(src))
	d.flush()
	for len(src) > 0 && d.err == nil && !d.measuring {
		room, err := d.staging.room(1)
		d.fail(err)
		n, err := copyFrom(room, src)
		if d.fail(err); d.err != nil {
			return
		}
		d.fail(d.driver.Upload(m, room[:n]))
		d.staging.used += n
		src, m = src[n:], m+address(n)
	}
}

// Download copies from src at byte off to dst, after the operators queued before. It
// settles them, so that a Sync that follows has nothing to wait for.
func (d *Device) Download(dst []byte, src kernels.Mem, off int) {
	m := src.(*memory).part(off, len(dst))
	d.flush()
	for len(dst) > 0 && d.err == nil && !d.measuring {
		room, err := d.staging.room(min(len(dst), halfBytes))
		if d.fail(err); err != nil {
			return
		}
		n := min(len(dst), len(room))
		d.fail(d.driver.Download(room[:n], m))
		d.staging.used += n
		if d.settle(); d.err == nil {
			copy(dst, room)
		}
		dst, m = dst[n:], m+address(n)
	}
}

// CopyMem copies n bytes from src to dst, after the operators queued before.
func (d *Device) CopyMem(dst kernels.Mem, off int, src kernels.Mem, srcOff, n int) {
	to, from := dst.(*memory).part(off, n), src.(*memory).part(srcOff, n)
	if d.flush(); n > 0 && d.err == nil && !d.measuring {
		d.fail(d.driver.Copy(to, from, n))
	}
}

// part is the address of n bytes from off.
func (m *memory) part(off, n int) address {
	if off < 0 || off+n > m.bytes {
		panic(fmt.Sprintf("cuda: bytes %d to %d of a memory of %d", off, off+n, m.bytes))
	}
	return m.at + address(off)
}

// resetFailed forgets the row that failed.
func (d *Device) resetFailed() {
	d.Upload(d.failed, 0, order.AppendUint64(nil, noFailure))
}
