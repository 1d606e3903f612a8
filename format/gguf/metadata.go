package gguf

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/llmqat/llmqat/format"
)

// kind is the type of a metadata value, numbered as in files.
type kind uint32

const (
	kindUint8 kind = iota
	kindInt8
	kindUint16
	kindInt16
	kindUint32
	kindInt32
	kindFloat32
	kindBool
	kindString
	kindArray
	kindUint64
	kindInt64
	kindFloat64
	kinds
)

// sizes in bytes; a string has at least the 8 of its length, an array's is of its own.
var kindSizes = [kinds]int{1, 1, 2, 2, 4, 4, 4, 1, 8, 0, 8, 8, 8}

func (k kind) String() string {
	names := [kinds]string{"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "bool", "string", "array",
		"uint64", "int64", "float64"}
	if k < kinds {
		return names[k]
	}
	return fmt.Sprintf("type %d", uint32(k))
}

// value is one metadata value, still in the file's bytes.
type value struct {
	kind  kind
	data  []byte // of a string its text; of an array all its elements, as they stand in the file
	elem  kind   // array
	count int    // array
}

// metadata is the key-value part of a file. Its errors name the key.
type metadata map[string]value

// value reads one value.
func (r *reader) value(key string) value {
	v := value{kind: kind(r.uint32(key))}
	switch {
	case v.kind >= kinds:
		r.fail("%s is of %v, unknown", key, v.kind)
	case v.kind == kindString:
		v.data = r.string(key, math.MaxInt64)
	case v.kind == kindArray:
		r.array(key, &v)
	default:
		v.data = r.take(uint64(kindSizes[v.kind]), key)
	}
	return v
}

func (r *reader) array(key string, v *value) {
	v.elem = kind(r.uint32(key))
	if r.err != nil {
		return
	}
	if v.elem >= kinds {
		r.fail("%s is an array of %v, unknown", key, v.elem)
		return
	}
	if v.elem == kindArray {
		r.err = fmt.Errorf("%s is an array of arrays: %w", key, format.ErrUnsupported)
		return
	}
	v.count = r.count("elements of "+key, kindSizes[v.elem], math.MaxInt64)
	begin := r.pos
	if v.elem == kindString {
		for i := 0; i < v.count && r.err == nil; i++ {
			r.string(key, math.MaxInt64)
		}
	} else {
		r.take(uint64(v.count*kindSizes[v.elem]), key)
	}
	v.data = r.data[begin:r.pos]
}

// strings calls f with each element of an array of strings.
func (v value) strings(f func(i int, s string)) {
	r := reader{data: v.data}
	for i := range v.count {
		f(i, string(r.string("", math.MaxInt64)))
	}
}

// integer returns the value of any of the integer kinds.
func (v value) integer() (n int64, ok bool) {
	d := v.data
	switch v.kind {
	case kindUint8:
		return int64(d[0]), true
	case kindInt8:
		return int64(int8(d[0])), true
	case kindUint16:
		return int64(binary.LittleEndian.Uint16(d)), true
	case kindInt16:
		return int64(int16(binary.LittleEndian.Uint16(d))), true
	case kindUint32:
		return int64(binary.LittleEndian.Uint32(d)), true
	case kindInt32:
		return int64(int32(binary.LittleEndian.Uint32(d))), true
	case kindUint64:
		u := binary.LittleEndian.Uint64(d)
		return int64(u), u <= math.MaxInt64
	case kindInt64:
		return int64(binary.LittleEndian.Uint64(d)), true
	}
	return 0, false
}

// int returns the integer at key, otherwise where the key is not there.
func (m metadata) int(key string, otherwise int) (int, error) {
	v, ok := m[key]
	if !ok {
		return otherwise, nil
	}
	n, ok := v.integer()
	if !ok || n < math.MinInt32 || n > math.MaxUint32 || n > math.MaxInt {
		return 0, fmt.Errorf("%s is %v, want an integer of 32 bits: %w", key, v, format.ErrCorrupt)
	}
	return int(n), nil
}

func (m metadata) float(key string, otherwise float64) (float64, error) {
	v, ok := m[key]
	switch {
	case !ok:
		return otherwise, nil
	case v.kind == kindFloat32:
		// The shortest decimal that is this float32: 1e-5 shall be 1e-5.
		return shortest(math.Float32frombits(binary.LittleEndian.Uint32(v.data))), nil
	case v.kind == kindFloat64:
		return math.Float64frombits(binary.LittleEndian.Uint64(v.data)), nil
	}
	return 0, fmt.Errorf("%s is %v, want a float: %w", key, v, format.ErrCorrupt)
}

func (m metadata) bool(key string, otherwise bool) (bool, error) {
	v, ok := m[key]
	switch {
	case !ok:
		return otherwise, nil
	case v.kind == kindBool && v.data[0] <= 1:
		return v.data[0] == 1, nil
	}
	return false, fmt.Errorf("%s is %v, want a bool: %w", key, v, format.ErrCorrupt)
}

func (m metadata) string(key, otherwise string) (string, error) {
	v, ok := m[key]
	switch {
	case !ok:
		return otherwise, nil
	case v.kind == kindString:
		return string(v.data), nil
	}
	return "", fmt.Errorf("%s is %v, want a string: %w", key, v, format.ErrCorrupt)
}

// array returns the array at key, whose elements must be of kind elem and, where count
// is not negative, as many; false where the key is not there.
func (m metadata) array(key string, elem kind, count int) (value, bool, error) {
	v, ok := m[key]
	if ok && (v.kind != kindArray || v.elem != elem || count >= 0 && v.count != count) {
		want := fmt.Sprintf("an array of %v", elem)
		if count >= 0 {
			want = fmt.Sprintf("an array of %d %v", count, elem)
		}
		return value{}, true, fmt.Errorf("%s is %v, want %s: %w", key, v, want, format.ErrCorrupt)
	}
	return v, ok, nil
}

// String shows a value in error texts.
func (v value) String() string {
	if n, ok := v.integer(); ok {
		return fmt.Sprintf("%v %d", v.kind, n)
	}
	switch v.kind {
	case kindString:
		return fmt.Sprintf("%.80q", v.data)
	case kindArray:
		return fmt.Sprintf("an array of %d %v", v.count, v.elem)
	}
	return fmt.Sprintf("%v %x", v.kind, v.data)
}
