package gguf

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/kernels/quant"
)

// draft is a GGUF file before it is written; tests change it.
type draft struct {
	magic            string
	version          uint32
	tensors, keys    uint64 // counts; 0: as many as there are
	metadata         []pair
	infos            []draftTensor
	alignment        int
	afterInfos, tail []byte
}

// raw is a value with its type, as it shall stand in the file.
type raw []byte

type draftTensor struct {
	name   string
	dims   []uint64
	dtype  uint32
	offset *uint64 // nil: after the one before
	data   []byte
}

// appendAny appends also what the writer never has.
func appendAny(b []byte, v any) []byte {
	le := binary.LittleEndian
	head := func(k kind) []byte { return le.AppendUint32(b, uint32(k)) }
	switch v := v.(type) {
	case raw:
		return append(b, v...)
	case int32:
		return le.AppendUint32(head(kindInt32), uint32(v))
	case uint16:
		return le.AppendUint16(head(kindUint16), v)
	case uint64:
		return le.AppendUint64(head(kindUint64), v)
	case float64:
		return le.AppendUint64(head(kindFloat64), math.Float64bits(v))
	}
	return appendValue(b, v)
}

// write makes the file.
func (d draft) write() []byte {
	le := binary.LittleEndian
	b := []byte(d.magic)
	b = le.AppendUint32(b, d.version)
	nTensors, nKeys := d.tensors, d.keys
	if nTensors == 0 {
		nTensors = uint64(len(d.infos))
	}
	if nKeys == 0 {
		nKeys = uint64(len(d.metadata))
	}
	b = le.AppendUint64(le.AppendUint64(b, nTensors), nKeys)
	for _, p := range d.metadata {
		b = appendAny(appendString(b, p.key), p.value)
	}
	align := func(n int) int { return (n + d.alignment - 1) / d.alignment * d.alignment }
	at := 0
	var data []byte
	for _, t := range d.infos {
		offset := uint64(at)
		if t.offset != nil {
			offset = *t.offset
		}
		b = appendInfo(b, info{tensor: tensor{name: t.name, dims: t.dims, dtype: dtype(t.dtype)}, offset: offset})
		data = append(data, make([]byte, at-len(data))...)
		data = append(data, t.data...)
		at = align(len(data))
	}
	b = append(b, d.afterInfos...)
	b = append(b, make([]byte, align(len(b))-len(b))...)
	return append(append(b, data...), d.tail...)
}

// set changes or adds a metadata key; nil removes it.
func (d *draft) set(key string, value any) {
	i := slices.IndexFunc(d.metadata, func(p pair) bool { return p.key == key })
	switch {
	case i < 0:
		d.metadata = append(d.metadata, pair{key, value})
	case value == nil:
		d.metadata = slices.Delete(d.metadata, i, i+1)
	default:
		d.metadata[i].value = value
	}
}

// tensor returns a tensor to be changed.
func (d *draft) tensor(name string) *draftTensor {
	i := slices.IndexFunc(d.infos, func(t draftTensor) bool { return t.name == name })
	return &d.infos[i]
}

// draftOf describes a model in GGUF: its matrices as dtype, its vectors as F32, with
// q_proj and k_proj interleaved as llama.cpp's converter does. rows gives the numbers
// of a tensor in Hugging Face's order.
func draftOf(c *format.Config, d dtype, rows func(name string) []float32) *draft {
	g := &draft{magic: "GGUF", version: 3, alignment: 32}
	g.metadata = (&Model{Config: c}).metadata()
	for _, s := range c.Tensors() {
		x := rows(s.Name)
		t := draftTensor{name: ggmlName(s.Name), dims: []uint64{uint64(s.Out)}, dtype: uint32(typeF32)}
		if s.In > 0 {
			t.dims, t.dtype = []uint64{uint64(s.In), uint64(s.Out)}, uint32(d)
		}
		switch t.name[max(0, len(t.name)-len("attn_q.weight")):] {
		case "attn_q.weight", "attn_k.weight":
			x = interleave(x, s.In, c.HeadDim)
		}
		t.data = encode(x, dtype(t.dtype))
		g.infos = append(g.infos, t)
	}
	return g
}

// interleave orders rows for RoPE on neighbours: of each head, rows i and i+headDim/2 of x
// become 2i and 2i+1.
func interleave(x []float32, in, headDim int) []float32 {
	var out []float32
	for head := 0; head < len(x)/in; head += headDim {
		for i := range headDim / 2 {
			for _, r := range []int{head + i, head + i + headDim/2} {
				out = append(out, x[r*in:(r+1)*in]...)
			}
		}
	}
	return out
}

// encode writes x as ggml's quantizers do; rounding of Q4_0 and Q8_0 is to the nearest.
func encode(x []float32, d dtype) []byte {
	var b []byte
	le := binary.LittleEndian
	switch d {
	case typeF32:
		for _, v := range x {
			b = le.AppendUint32(b, math.Float32bits(v))
		}
	case typeF16:
		for _, v := range x {
			b = le.AppendUint16(b, quant.Float16(v))
		}
	case typeBF16:
		for _, v := range x {
			b = le.AppendUint16(b, quant.BFloat16(v))
		}
	case typeQ8_0:
		for block := range slices.Chunk(x, 32) {
			h, scale := blockScale(block, 127)
			b = le.AppendUint16(b, h)
			for _, v := range block {
				b = append(b, byte(int8(nearest(v, scale, -127, 127))))
			}
		}
	case typeQ4_0:
		for block := range slices.Chunk(x, 32) {
			h, scale := blockScale(block, 7)
			b = le.AppendUint16(b, h)
			for j := range 16 {
				lo, hi := nearest(block[j], scale, -8, 7)+8, nearest(block[j+16], scale, -8, 7)+8
				b = append(b, byte(lo|hi<<4))
			}
		}
	default:
		panic(d)
	}
	return b
}

// decoded is what encode's bytes stand for, worked out from the numbers, not the bytes.
func decoded(x []float32, d dtype) []float32 {
	out := slices.Clone(x)
	switch d {
	case typeF16:
		for i, v := range x {
			out[i] = quant.Float16To32(quant.Float16(v))
		}
	case typeBF16:
		for i, v := range x {
			out[i] = quant.BFloat16To32(quant.BFloat16(v))
		}
	case typeQ8_0, typeQ4_0:
		top, lo, hi := float32(127), -127, 127
		if d == typeQ4_0 {
			top, lo, hi = 7, -8, 7
		}
		for i := range x {
			_, scale := blockScale(x[i/32*32:][:32], top)
			out[i] = scale * float32(nearest(x[i], scale, lo, hi))
		}
	}
	return out
}

func blockScale(block []float32, top float32) (uint16, float32) {
	h := quant.Float16(quant.AbsMax(block) / top)
	return h, quant.Float16To32(h)
}

func nearest(v, scale float32, lo, hi int) int {
	if scale == 0 {
		return 0
	}
	return max(lo, min(hi, int(math.RoundToEven(float64(v/scale)))))
}
