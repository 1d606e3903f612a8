package gguf

import (
	"bytes"
	"fmt"
	"math"
	"math/bits"
	"strconv"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/weights"
)

// Bounds of a file, far above those of every known model.
const (
	maxHeader    = 16 << 20 // bytes, all before the tensors' data
	maxKeys      = 65536
	maxTensors   = 65536
	maxKey       = 65535 // bytes, the format's own
	maxName      = 4096  // bytes
	maxDims      = 4
	maxAlignment = 1 << 20
)

// dtype is ggml's number of an element type.
type dtype uint32

// The types that are read. The others have only names, for error texts.
const (
	typeF32  dtype = 0
	typeF16  dtype = 1
	typeQ4_0 dtype = 2
	typeQ8_0 dtype = 8
	typeBF16 dtype = 30
)

var dtypeNames = map[dtype]string{
	0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1",
	10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS",
	19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64",
	28: "F64", 29: "IQ1_M", 30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}

func (d dtype) String() string {
	if s, ok := dtypeNames[d]; ok {
		return s
	}
	return fmt.Sprintf("type %d", uint32(d))
}

// block returns how many elements of a row stand together, and in how many bytes; 0 for
// types that are not read.
func (d dtype) block() (elements, size uint64) {
	switch d {
	case typeF32:
		return 1, 4
	case typeF16, typeBF16:
		return 1, 2
	case typeQ8_0:
		return weights.Block, weights.Q80Stride
	case typeQ4_0:
		return weights.Block, weights.Q40Stride
	}
	return 0, 0
}

// tensor is one tensor of a file.
type tensor struct {
	name  string
	dims  []uint64 // innermost first: [in, out] of a matrix
	dtype dtype
	data  []byte
}

// file is a parsed file.
type file struct {
	metadata metadata
	tensors  map[string]tensor
}

// Magic reports whether a file that begins with these bytes is a GGUF file.
func Magic(begin []byte) bool { return bytes.HasPrefix(begin, []byte("GGUF")) }

// parse reads the header of data, a whole file, and finds every tensor.
func parse(data []byte) (*file, error) {
	r := &reader{data: data[:min(len(data), maxHeader)]}
	if !Magic(data) {
		return nil, fmt.Errorf("begins with %q, want GGUF: %w", data[:min(len(data), 4)], format.ErrCorrupt)
	}
	r.pos = 4
	version := r.uint32("version")
	switch {
	case r.err != nil:
		return nil, r.err
	case version >= 1<<16 && bits.ReverseBytes32(version) < 1<<16:
		return nil, fmt.Errorf("a big-endian GGUF file: %w", format.ErrUnsupported)
	case version != 2 && version != 3:
		return nil, fmt.Errorf("GGUF version %d, want 2 or 3: %w", version, format.ErrUnsupported)
	}
	nTensors := r.count("tensors", 8+4+8+4+8, maxTensors)
	nKeys := r.count("metadata keys", 8+4+1, maxKeys)
	f := &file{metadata: make(metadata), tensors: make(map[string]tensor)}
	for i := 0; i < nKeys && r.err == nil; i++ {
		key := string(r.string("a metadata key", maxKey))
		if _, twice := f.metadata[key]; twice {
			r.fail("metadata key %q stands there twice", key)
		}
		f.metadata[key] = r.value(strconv.Quote(key[:min(len(key), 200)]))
	}
	infos := make([]info, 0, min(nTensors, 1024))
	for i := 0; i < nTensors && r.err == nil; i++ {
		infos = append(infos, r.info())
	}
	if r.err != nil {
		if r.cut && len(data) > maxHeader {
			return nil, fmt.Errorf("header goes on after %d bytes: %w", maxHeader, r.err)
		}
		return nil, r.err
	}
	alignment, err := f.metadata.int("general.alignment", 32)
	if err != nil {
		return nil, err
	}
	if alignment < 1 || alignment > maxAlignment || alignment&(alignment-1) != 0 {
		return nil, fmt.Errorf("general.alignment is %d, want a power of two up to %d: %w", alignment, maxAlignment, format.ErrCorrupt)
	}
	begin := (r.pos + alignment - 1) / alignment * alignment
	return f, f.place(infos, data[min(begin, len(data)):], uint64(alignment))
}

// info is a tensor's entry in the header.
type info struct {
	tensor
	offset, size uint64 // in the data; size in bytes
}

func (r *reader) info() info {
	var t info
	t.name = string(r.string("a tensor's name", maxName))
	what := fmt.Sprintf("tensor %q", t.name)
	n := r.uint32(what)
	if r.err == nil && (n < 1 || n > maxDims) {
		r.fail("%s has %d dimensions, want 1 to %d", what, n, maxDims)
	}
	for i := uint32(0); i < n && r.err == nil; i++ {
		t.dims = append(t.dims, r.uint64(what))
	}
	t.dtype = dtype(r.uint32(what))
	t.offset = r.uint64(what)
	if r.err == nil {
		t.size, r.err = t.bytes()
	}
	return t
}

// bytes returns how much room t's data take.
func (t *tensor) bytes() (uint64, error) {
	elements, size := t.dtype.block()
	if elements == 0 {
		return 0, fmt.Errorf("tensor %q is %v, want F32, F16, BF16, Q8_0 or Q4_0: give a file converted to one of them: %w",
			t.name, t.dtype, format.ErrUnsupported)
	}
	if t.dims[0]%elements != 0 {
		return 0, fmt.Errorf("tensor %q is %v%d, want rows of whole blocks of %d: %w", t.name, t.dtype, t.dims, elements, format.ErrCorrupt)
	}
	for i, d := range t.dims {
		if i == 0 {
			d /= elements
		}
		hi, lo := bits.Mul64(size, d)
		if hi != 0 || lo == 0 || lo > math.MaxInt64 {
			return 0, fmt.Errorf("tensor %q is %v%d, want dimensions from 1 whose product is a size: %w", t.name, t.dtype, t.dims, format.ErrCorrupt)
		}
		size = lo
	}
	return size, nil
}

// place finds the tensors in data, which hold them in the header's order, each on a
// multiple of the alignment, and nothing else.
func (f *file) place(infos []info, data []byte, alignment uint64) error {
	have := uint64(len(data))
	next := uint64(0) // where the next tensor begins: at most have, rounded up
	for _, t := range infos {
		switch _, twice := f.tensors[t.name]; {
		case twice:
			return fmt.Errorf("tensor %q stands there twice: %w", t.name, format.ErrCorrupt)
		case t.offset != next:
			return fmt.Errorf("tensor %q is at %d, want %d, the next multiple of %d after the one before: %w",
				t.name, t.offset, next, alignment, format.ErrCorrupt)
		case t.offset > have || t.size > have-t.offset:
			return fmt.Errorf("tensor %q takes %d bytes at %d, the file has %d for data: %w", t.name, t.size, t.offset, have, format.ErrCorrupt)
		}
		t.data = data[t.offset : t.offset+t.size]
		f.tensors[t.name] = t.tensor
		next = (t.offset + t.size + alignment - 1) / alignment * alignment
	}
	if have > next {
		return fmt.Errorf("%d bytes after the last tensor: %w", have-next, format.ErrCorrupt)
	}
	return nil
}

// elements returns t's numbers. GGUF's are little-endian, as those of package weights.
func (t *tensor) elements() (weights.Elements, format.DType) {
	switch t.dtype {
	case typeF32:
		return weights.F32(t.data), format.F32
	case typeF16:
		return weights.F16(t.data), format.F16
	case typeBF16:
		return weights.BF16(t.data), format.BF16
	case typeQ8_0:
		return weights.Q80(t.data), format.Q8
	case typeQ4_0:
		return weights.Q40(t.data), format.Q4
	}
	panic(fmt.Sprintf("gguf: tensor %q of %v was not refused", t.name, t.dtype))
}

// shortest returns the float64 with the fewest decimal digits that rounds to x.
func shortest(x float32) float64 {
	y, err := strconv.ParseFloat(strconv.FormatFloat(float64(x), 'g', -1, 32), 64)
	if err != nil {
		return float64(x)
	}
	return y
}
