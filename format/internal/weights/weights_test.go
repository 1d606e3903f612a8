package weights

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Every stretch of elements, whatever group it begins and ends in, equals the values
// worked out one by one.
func TestElements(t *testing.T) {
	const n = 4 * Block
	rng := rand.New(rand.NewPCG(1, 2))
	want := map[string][]float32{}
	elements := map[string]Elements{}
	add := func(name string, e Elements, v []float32) { elements[name], want[name] = e, v }

	var f32, f16, bf16 []byte
	plain, half, brain := make([]float32, n), make([]float32, n), make([]float32, n)
	for i := range n {
		x := float32(rng.NormFloat64())
		plain[i] = x
		half[i] = quant.Float16To32(quant.Float16(x))
		brain[i] = math.Float32frombits(uint32(quant.BFloat16(x)) << 16)
		f32 = binary.LittleEndian.AppendUint32(f32, math.Float32bits(x))
		f16 = binary.LittleEndian.AppendUint16(f16, quant.Float16(x))
		bf16 = binary.LittleEndian.AppendUint16(bf16, quant.BFloat16(x))
	}
	add("F32", F32(f32), plain)
	add("F16", F16(f16), half)
	add("BF16", BF16(bf16), brain)

	var q80, q40, ints, scales []byte
	v80, v40, vg := make([]float32, n), make([]float32, n), make([]float32, n)
	for b := range n / Block {
		// Scales that are powers of two: every product is exact.
		scale := float32(math.Ldexp(1, b-3))
		q80 = binary.LittleEndian.AppendUint16(q80, quant.Float16(scale))
		q40 = binary.LittleEndian.AppendUint16(q40, quant.Float16(scale))
		nibbles := make([]byte, Block/2)
		for i := range Block {
			q := rng.IntN(256) - 128
			q80 = append(q80, byte(q))
			v80[b*Block+i] = float32(q) * scale
			q4 := rng.IntN(16)
			if i < Block/2 {
				nibbles[i] |= byte(q4)
			} else {
				nibbles[i-Block/2] |= byte(q4) << 4
			}
			v40[b*Block+i] = float32(q4-8) * scale
		}
		q40 = append(q40, nibbles...)
	}
	const group = 24
	for i := range n {
		q := rng.IntN(256) - 128
		ints = append(ints, byte(q))
		if i%group == 0 {
			scales = binary.LittleEndian.AppendUint32(scales, math.Float32bits(float32(math.Ldexp(1, -i/group))))
		}
		vg[i] = float32(q) * float32(math.Ldexp(1, -(i/group)))
	}
	add("Q8_0", Q80(q80), v80)
	add("Q4_0", Q40(q40), v40)
	add("grouped", Grouped{Q: ints, Scales: scales, Group: group}, vg)

	for name, e := range elements {
		for first := range n {
			for last := first; last <= n; last++ {
				got := make([]float32, last-first)
				e.Read(got, first)
				for i, x := range got {
					if x != want[name][first+i] {
						t.Fatalf("%s: element %d of [%d, %d) is %v, want %v", name, first+i, first, last, x, want[name][first+i])
					}
				}
			}
		}
	}
}

// tiny is a model whose element e of every tensor is its number in the file, plus one.
func tiny() Model {
	c := format.Config{HiddenSize: 8, IntermediateSize: 6, NumHiddenLayers: 1, NumAttentionHeads: 2, NumKeyValueHeads: 1,
		HeadDim: 4, VocabSize: 3, MaxPositionEmbeddings: 8, TieWordEmbeddings: true}
	m := Model{Path: "tiny", Config: c, Tensors: map[string]Tensor{}}
	for _, s := range c.Tensors() {
		var data []byte
		for e := range s.Out * max(s.In, 1) {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(e+1)))
		}
		m.Tensors[s.Name] = Tensor{DType: format.F32, Elements: F32(data)}
		m.Files = append(m.Files, mapped.Memory("dir/"+s.Name, data))
	}
	return m
}

func TestReadRowsInterleaved(t *testing.T) {
	m := tiny()
	name := format.LayerName(0, "self_attn.q_proj.weight")
	q := m.Tensors[name]
	q.Interleaved = true
	m.Tensors[name] = q
	s := m.Source()
	// Two heads of four rows: the file's rows 0 1 2 3 are pairs (0 1) (2 3); here first
	// halves of pairs, then second ones.
	want := []int{0, 2, 1, 3, 4, 6, 5, 7}
	for first := range want {
		for n := range len(want) - first + 1 {
			dst := make([]float32, 8*n)
			if err := s.ReadRows(dst, name, first); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if got := int(dst[8*i]-1) / 8; got != want[first+i] {
					t.Errorf("row %d is the file's row %d, want %d", first+i, got, want[first+i])
				}
			}
		}
	}
}

func TestReadRowsNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		m := tiny()
		data := m.Tensors[format.EmbedName].Elements.(F32)
		binary.LittleEndian.PutUint32(data[4*(8+3):], math.Float32bits(float32(bad)))
		s := m.Source()
		if err := s.ReadRows(make([]float32, 8), format.EmbedName, 0); err != nil {
			t.Errorf("row 0: %v", err)
		}
		err := s.ReadRows(make([]float32, 16), format.EmbedName, 0)
		if !errors.Is(err, format.ErrCorrupt) || !strings.Contains(err.Error(), "row 1, column 3") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestReadRowsMisuse(t *testing.T) {
	s := tiny().Source()
	for what, f := range map[string]func(){
		"unknown tensor": func() { s.ReadRows(make([]float32, 8), "x", 0) },
		"part of a row":  func() { s.ReadRows(make([]float32, 7), format.EmbedName, 0) },
		"past the end":   func() { s.ReadRows(make([]float32, 16), format.EmbedName, 2) },
		"negative row":   func() { s.ReadRows(make([]float32, 8), format.EmbedName, -1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", what)
				}
			}()
			f()
		}()
	}
}

// Hash depends on every byte and on the order of the files, and on nothing else.
func TestHash(t *testing.T) {
	hash := func(m Model) string {
		h, err := m.Source().Hash(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	first := hash(tiny())
	if first != hash(tiny()) {
		t.Error("the same files give two hashes")
	}
	m := tiny()
	m.Files[3].Bytes()[5] ^= 1
	if hash(m) == first {
		t.Error("one bit changed, the hash did not")
	}
	one := Model{Path: "a", Files: []*mapped.File{mapped.Memory("d/abc", []byte("abc"))}}
	one.Config.TieWordEmbeddings = true
	one.Tensors = map[string]Tensor{format.EmbedName: {}, format.NormName: {}}
	// printf abc > abc; sha256sum abc | sha256sum
	if got, want := hash(one), "sha256:"+abcHash; got != want {
		t.Errorf("hash is %s, want %s", got, want)
	}
}

func TestHashProgress(t *testing.T) {
	s := tiny().Source()
	if len(s.Files()) != len(tiny().Files) || s.Size() == 0 {
		t.Errorf("files %q of %d bytes", s.Files(), s.Size())
	}
	var read int64
	if _, err := s.Hash(context.Background(), func(n int) { read += int64(n) }); err != nil || read != s.Size() {
		t.Errorf("hashed %d bytes of %d: %v", read, s.Size(), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Hash(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

const abcHash = "c32c110b2834d02b24bc526c30104802e185619f83437476d29715655b42941d"
