package hf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/nlpodyssey/safetensors"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
)

// Bounds of a safetensors file, far above those of every known model.
const (
	maxHeader  = 16 << 20 // bytes
	maxTensors = 65536
	maxDims    = 4
	maxName    = 4096 // bytes
)

// readSafetensors finds the tensors of a safetensors file. The library that does it
// builds a map of maps of the header and trusts its numbers where they do not
// matter to it, so the header is first read through once with bounds.
func readSafetensors(file *mapped.File) (st safetensors.SafeTensors, err error) {
	err = mapped.Guard(file.Path, func() error {
		data := file.Bytes()
		err := checkHeader(data)
		if err == nil {
			// Holes, overlaps and bytes past the last tensor: the library finds them.
			if st, err = safetensors.Deserialize(data); err != nil {
				err = fmt.Errorf("%w: %w", err, format.ErrCorrupt)
			}
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", file.Path, err)
		}
		return err
	})
	return st, err
}

// checkHeader checks that data, a whole file, has a header of the right structure and
// that every tensor lies within the file and is as long as its shape says.
func checkHeader(data []byte) error {
	if len(data) < 8 {
		return fmt.Errorf("%d bytes, a safetensors file has at least 8: %w", len(data), format.ErrCorrupt)
	}
	size := binary.LittleEndian.Uint64(data)
	if size > maxHeader || size > uint64(len(data)-8) {
		return fmt.Errorf("safetensors header of %d bytes, want at most %d and the %d of the file: %w",
			size, maxHeader, len(data)-8, format.ErrCorrupt)
	}
	left := uint64(len(data)-8) - size
	w := newWalker(data[8 : 8+size])
	seen := make(map[string]bool)
	err := w.object(func(name string) error {
		switch {
		case len(name) > maxName:
			return fmt.Errorf("a name of %d bytes, at most %d", len(name), maxName)
		case seen[name]:
			return fmt.Errorf("tensor %q stands there twice", name)
		case len(seen) > maxTensors:
			return fmt.Errorf("more than %d tensors", maxTensors)
		}
		seen[name] = true
		if name == "__metadata__" {
			return w.object(func(string) error { _, err := w.string(); return err })
		}
		if err := checkTensor(w, left); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		return nil
	})
	if err == nil {
		err = w.end()
	}
	if err != nil && !errors.Is(err, format.ErrUnsupported) {
		err = fmt.Errorf("%w: %w", err, format.ErrCorrupt)
	}
	if err != nil {
		return fmt.Errorf("safetensors header: %w", err)
	}
	return nil
}

// checkTensor reads one tensor's entry; left is the number of bytes after the header.
func checkTensor(w walker, left uint64) error {
	var dtype safetensors.DType
	var shape, offsets []uint64
	keys := 0
	numbers := func(dst *[]uint64, most int) error {
		*dst = []uint64{}
		return w.array(func() error {
			n, err := w.uint()
			if *dst = append(*dst, n); len(*dst) > most {
				return fmt.Errorf("more than %d numbers", most)
			}
			return err
		})
	}
	err := w.object(func(key string) error {
		keys++
		var err error
		switch key {
		case "dtype":
			var s string
			if s, err = w.string(); err != nil {
				break
			}
			if dtype, err = safetensors.ParseDType(s); err != nil {
				return fmt.Errorf("dtype is %.40q, want F32, F16 or BF16: %w", s, format.ErrUnsupported)
			}
		case "shape":
			err = numbers(&shape, maxDims)
		case "data_offsets":
			err = numbers(&offsets, 2)
		default:
			return fmt.Errorf("unknown key %.40q", key)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case keys != 3 || dtype.Size() == 0 || shape == nil || len(offsets) != 2:
		return errors.New("want one dtype, one shape and two data_offsets")
	case offsets[0] > offsets[1] || offsets[1] > left:
		return fmt.Errorf("data_offsets are %d, want them to rise within the %d bytes of data", offsets, left)
	}
	want := dtype.Size()
	for _, d := range shape {
		hi, lo := bits.Mul64(want, d)
		if hi != 0 {
			return fmt.Errorf("shape %d overflows", shape)
		}
		want = lo
	}
	if want != offsets[1]-offsets[0] {
		return fmt.Errorf("%s%d takes %d bytes, data_offsets are %d", dtype, shape, want, offsets)
	}
	return nil
}
