package tokenizer

import (
	"encoding/binary"
	"fmt"
)

// field is one field of a protocol buffers message: value for the number types, bytes for the rest.
type field struct {
	num   int
	wire  int
	value uint64
	bytes []byte // within the message
}

// Wire types. Groups (3, 4) have no use in a ModelProto and count as corrupt.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// eachField calls f for every field of msg in its order. Nothing is allocated for a length before the bytes
// are known to be there.
func eachField(msg []byte, f func(field) error) error {
	for size := len(msg); len(msg) > 0; {
		at := size - len(msg)
		tag, n := binary.Uvarint(msg)
		if n <= 0 || tag>>3 == 0 || tag>>3 >= 1<<29 {
			return fmt.Errorf("offset %d: no field tag: %w", at, ErrCorrupt)
		}
		msg = msg[n:]
		fd := field{num: int(tag >> 3), wire: int(tag & 7)}
		switch fd.wire {
		case wireVarint:
			fd.value, n = binary.Uvarint(msg)
			if n <= 0 {
				return fmt.Errorf("offset %d: field %d: cut or oversize varint: %w", at, fd.num, ErrCorrupt)
			}
		case wireFixed64, wireFixed32:
			n = 8
			if fd.wire == wireFixed32 {
				n = 4
			}
			if len(msg) < n {
				return fmt.Errorf("offset %d: field %d: %d bytes, %d left: %w", at, fd.num, n, len(msg), ErrCorrupt)
			}
			for i := n - 1; i >= 0; i-- {
				fd.value = fd.value<<8 | uint64(msg[i])
			}
		case wireBytes:
			length, m := binary.Uvarint(msg)
			if m <= 0 || length > uint64(len(msg)-m) {
				return fmt.Errorf("offset %d: field %d: %d bytes, %d left: %w", at, fd.num, length, len(msg)-max(m, 0), ErrCorrupt)
			}
			fd.bytes = msg[m : m+int(length)]
			n = m + int(length)
		default:
			return fmt.Errorf("offset %d: field %d: wire type %d: %w", at, fd.num, fd.wire, ErrCorrupt)
		}
		msg = msg[n:]
		if err := f(fd); err != nil {
			return err
		}
	}
	return nil
}

// want checks the wire type of a field whose meaning is known.
func (f field) want(wire int) error {
	if f.wire != wire {
		return fmt.Errorf("field %d: wire type %d, want %d: %w", f.num, f.wire, wire, ErrCorrupt)
	}
	return nil
}

func appendTag(b []byte, num, wire int) []byte {
	return binary.AppendUvarint(b, uint64(num)<<3|uint64(wire))
}

func appendInt(b []byte, num int, v int64) []byte {
	return binary.AppendUvarint(appendTag(b, num, wireVarint), uint64(v))
}

func appendBool(b []byte, num int, v bool) []byte {
	if v {
		return appendInt(b, num, 1)
	}
	return appendInt(b, num, 0)
}

func appendBytes[T string | []byte](b []byte, num int, v T) []byte {
	b = binary.AppendUvarint(appendTag(b, num, wireBytes), uint64(len(v)))
	return append(b, v...)
}

func appendFloat(b []byte, num int, bits uint32) []byte {
	return binary.LittleEndian.AppendUint32(appendTag(b, num, wireFixed32), bits)
}
