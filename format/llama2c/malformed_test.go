package llama2c

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/damage"
	"github.com/llmqat/llmqat/format/internal/mapped"
)

// Offsets of the header's numbers in a legacy file; versions 1 and 2 have them 8 later.
const (
	atDim = 4 * iota
	atHidden
	atLayers
	atHeads
	atKVHeads
	atVocab
	atSeqLen
)

// Every single wrong number of a header, every wrong length, is an error that names
// the file and the thing.
func TestMalformed(t *testing.T) {
	type mutation struct {
		name  string
		from  shape
		f     func(b []byte) []byte
		names string // in the error's text
	}
	set := func(at int, v int64) func([]byte) []byte {
		return func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[at:], uint32(v))
			return b
		}
	}
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }
	shorter := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:len(b)-n] } }
	longer := func(n int) func([]byte) []byte { return func(b []byte) []byte { return append(b, make([]byte, n)...) } }
	legacy, v1, v2 := tinyShape, tinyShape.with(1, true), tinyShape.with(2, false)

	list := []mutation{
		{"empty", legacy, cut(0), "0 bytes"},
		{"one byte", legacy, cut(1), "1 bytes"},
		{"header short by one", legacy, cut(27), "27 bytes"},
		{"header only", legacy, cut(28), "28 bytes"},
		{"short by one", legacy, shorter(1), "wants"},
		{"short by a number", legacy, shorter(4), "wants"},
		{"long by one", legacy, longer(1), "wants"},
		{"all zero", legacy, func([]byte) []byte { return make([]byte, 4096) }, "hidden_size"},
		{"all ones", legacy, func([]byte) []byte { return []byte(strings.Repeat("\xff", 4096)) }, "m.bin"},
		{"untied, no lm_head", legacy, set(atVocab, -5), "wants"},
		{"v1 magic only", v1, cut(4), "4 bytes"},
		{"v1 header short by one", v1, cut(255), "255 bytes"},
		{"v1 short by one", v1, shorter(1), "wants"},
		{"v1 long by one", v1, longer(1), "wants"},
		{"v1 read as v2", v1, set(4, 2), "m.bin"},
		{"v2 read as v1", v2, set(4, 1), "wants"},
		{"version 0", v2, set(4, 0), "version 0"},
		{"version 3", v2, set(4, 3), "version 3"},
		{"version -1", v2, set(4, -1), "version -1"},
		{"big-endian magic", v2, set(0, 0x3234_6b61), "m.bin"},
		{"shared is 2", v2, func(b []byte) []byte { b[36] = 2; return b }, "shared classifier"},
		{"shared though lm_head follows", v2, func(b []byte) []byte { b[36] = 1; return b }, "wants"},
		{"group 0", v2, set(37, 0), "group size is 0"},
		{"group -4", v2, set(37, -4), "group size is -4"},
		{"group min int32", v2, set(37, math.MinInt32), "group size"},
		{"group max int32", v2, set(37, math.MaxInt32), "group size"},
		{"group above dim", v2, set(37, 9), "group size is 9"},
		{"group that divides nothing", v2, set(37, 7), "groups of 7"},
		{"another group", v2, set(37, 8), "wants"},
		{"v2 short by one", v2, shorter(1), "wants"},
		{"v2 long by one", v2, longer(1), "wants"},
		{"heads that do not divide dim", legacy, set(atHeads, 3), "3 heads"},
		{"odd head", legacy, set(atHeads, 8), "head_dim is 1"},
		{"more KV heads than heads", legacy, set(atKVHeads, 4), "num_attention_heads 2"},
	}
	// Heads and dim are checked against each other first, and a negative vocabulary has a meaning.
	fields := []string{"", "intermediate_size", "num_hidden_layers", "", "num_key_value_heads", "", "max_position_embeddings"}
	for i, field := range fields {
		for _, v := range []int64{0, -1, math.MinInt32, math.MaxInt32, 1 << 30} {
			list = append(list,
				mutation{fmt.Sprintf("legacy field %d is %d", i, v), legacy, set(4*i, v), field},
				mutation{fmt.Sprintf("v2 field %d is %d", i, v), v2, set(8+4*i, v), field})
		}
	}
	for _, m := range list {
		err := parseBytes(m.f(m.from.write()))
		if err == nil || !errors.Is(err, format.ErrCorrupt) && !errors.Is(err, format.ErrUnsupported) {
			t.Errorf("%s: %v", m.name, err)
		} else if !strings.Contains(err.Error(), "m.bin") || !strings.Contains(err.Error(), m.names) {
			t.Errorf("%s: %q does not name m.bin and %q", m.name, err, m.names)
		}
	}
	t.Logf("%d malformed files", len(list))
}

// Files with random damage.
func TestMutations(t *testing.T) {
	var good [][]byte
	for version := range 3 {
		good = append(good, tinyShape.with(version, true).write(), tinyShape.with(version, false).write())
	}
	damage.Each(t, 3000, 300, good, func(b []byte) error {
		m, err := parse(mapped.Memory("m.bin", b))
		if err == nil {
			err = rows(m.Source())
		}
		return err
	}, format.ErrCorrupt, format.ErrUnsupported)
}

// rows reads all rows of every tensor.
func rows(src format.Source) error {
	for _, s := range src.Config().Tensors() {
		if err := src.ReadRows(make([]float32, max(s.In, 1)*s.Out), s.Name, 0); err != nil {
			return err
		}
	}
	return nil
}

// FuzzOpen wants an error or a model of which every row can be asked for.
func FuzzOpen(f *testing.F) {
	for version := range 3 {
		f.Add(tinyShape.with(version, true).write())
		f.Add(tinyShape.with(version, false).write())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parse(mapped.Memory("m.bin", data))
		if err != nil {
			if !errors.Is(err, format.ErrCorrupt) && !errors.Is(err, format.ErrUnsupported) {
				t.Fatalf("%v wraps neither sentinel", err)
			}
			return
		}
		if err := rows(m.Source()); err != nil && !errors.Is(err, format.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
