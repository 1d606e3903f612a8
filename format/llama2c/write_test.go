package llama2c

import (
	"encoding/binary"
	"math"
)

// shape is a model for tests, in llama2.c's words.
type shape struct {
	version                                            int
	dim, hidden, layers, heads, kvHeads, vocab, seqLen int
	shared                                             bool
	group                                              int
}

var tinyShape = shape{dim: 8, hidden: 12, layers: 2, heads: 2, kvHeads: 1, vocab: 5, seqLen: 6, shared: true, group: 4}

func (s shape) with(version int, shared bool) shape {
	s.version, s.shared = version, shared
	return s
}

// write makes the file as llama2.c's export.py does. Float number i of the file is
// i+1, RoPE's tables are NaN, and int8 number i of a tensor is i mod 251 - 125 with
// scale 2^-(its group mod 5).
func (s shape) write() []byte {
	var b []byte
	put := func(v int) { b = binary.LittleEndian.AppendUint32(b, uint32(int32(v))) }
	number := 0
	floats := func(n int) {
		for range n {
			number++
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(number)))
		}
	}
	if s.version > 0 {
		put(magic)
		put(s.version)
	}
	vocab := s.vocab
	if s.version == 0 && !s.shared {
		vocab = -vocab
	}
	for _, v := range []int{s.dim, s.hidden, s.layers, s.heads, s.kvHeads, vocab, s.seqLen} {
		put(v)
	}
	kv := s.dim / s.heads * s.kvHeads
	matrices := []int{s.dim * s.dim, kv * s.dim, kv * s.dim, s.dim * s.dim, s.hidden * s.dim, s.hidden * s.dim, s.hidden * s.dim}
	if s.version == 0 {
		floats(s.vocab * s.dim)
		floats(s.layers * s.dim)
		for _, n := range matrices[:4] {
			floats(s.layers * n)
		}
		floats(s.layers * s.dim)
		for _, n := range matrices[4:] {
			floats(s.layers * n)
		}
		floats(s.dim)
		for range s.seqLen * s.dim / s.heads {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(math.NaN())))
		}
		if !s.shared {
			floats(s.vocab * s.dim)
		}
		return b
	}
	b = append(b, 0)
	if s.shared {
		b[len(b)-1] = 1
	}
	if s.version == 2 {
		put(s.group)
	}
	b = append(b, make([]byte, headerSize-len(b))...)
	floats((2*s.layers + 1) * s.dim)
	tensor := func(n int) {
		if s.version == 1 {
			floats(n)
			return
		}
		for i := range n {
			b = append(b, byte(i%251-125))
		}
		for g := range n / s.group {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(math.Ldexp(1, -(g%5)))))
		}
	}
	tensor(s.vocab * s.dim)
	for _, n := range matrices {
		for range s.layers {
			tensor(n)
		}
	}
	if !s.shared {
		tensor(s.vocab * s.dim)
	}
	return b
}

// tokenizerBin makes a tokenizer.bin of n ids.
func tokenizerBin(n int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 8)
	for id := range n {
		text := []string{"<unk>", "\n<s>\n", "\n</s>\n"}[min(id, 2)]
		if id > 2 {
			text = string(rune('a' + id))
		}
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(-id)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
	}
	return b
}
