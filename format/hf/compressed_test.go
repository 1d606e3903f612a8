package hf

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
)

// compressedTensors is the tiny model with integers in its layers: element i of row r is (i+r)%16-8, and the scale of
// its group g 1/(r+g+1). group is the inputs that share a scale, 0 for all.
func compressedTensors(bits, group int, packed bool) (list []entry) {
	for _, e := range tinyTensors("F32") {
		if !strings.HasSuffix(e.name, "proj.weight") {
			list = append(list, e)
			continue
		}
		out, in := e.shape[0], e.shape[1]
		groups := 1
		if group > 0 {
			groups = (in-1)/group + 1
		}
		scale := entry{name: e.name + "_scale", dtype: "F32", shape: []int{out, groups}}
		q := entry{name: e.name, dtype: "I8", shape: e.shape}
		for r := range out {
			for g := range groups {
				scale.data = binary.LittleEndian.AppendUint32(scale.data, math.Float32bits(1/float32(r+g+1)))
			}
			row := make([]byte, (in*bits+31)/32*4)
			for i := range in {
				n := (i+r)%16 - 8
				if packed {
					row[i*bits/8] |= byte(n+1<<(bits-1)) << (i * bits % 8)
				} else {
					row[i] = byte(n)
				}
			}
			if !packed {
				row = row[:in]
			}
			q.data = append(q.data, row...)
		}
		if packed {
			q.name, q.dtype, q.shape = e.name+"_packed", "I32", []int{out, (in*bits + 31) / 32}
			shape := entry{name: e.name + "_shape", dtype: "I64", shape: []int{2}}
			shape.data = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(out)), uint64(in))
			list = append(list, shape)
		}
		list = append(list, q, scale)
	}
	return list
}

// compressed is that model with a config.json that says so.
func compressed(bits, group int, packed bool) files {
	f := tinyFiles("F32")
	f["model.safetensors"] = tensorsFile(compressedTensors(bits, group, packed))
	weights := object{"num_bits": bits, "type": "int", "symmetric": true, "strategy": "channel"}
	if group > 0 {
		weights["strategy"], weights["group_size"] = "group", group
	}
	name := "int-quantized"
	if packed {
		name = "pack-quantized"
	}
	f["config.json"] = marshal(configWith(object{"quantization_config": object{"quant_method": "compressed-tensors", "format": name,
		"config_groups": object{"group_0": object{"targets": []string{"Linear"}, "weights": weights}}, "ignore": []string{"lm_head"}}}))
	return f
}

func tensorsFile(list []entry) []byte { return safetensorsFile(marshal(header(list)), list) }

// The layouts of compressed-tensors; rows of 12 inputs end within a word of eight, and a group
// may be of more inputs than there are.
func TestCompressed(t *testing.T) {
	for _, c := range []struct {
		bits, group int
		packed      bool
	}{{4, 0, true}, {8, 0, true}, {8, 0, false}, {4, 4, true}, {4, 5, true}, {4, math.MaxInt, true}} {
		src, err := Open(compressed(c.bits, c.group, c.packed).write(t), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range src.Config().Tensors() {
			if !s.Linear {
				continue
			}
			x := make([]float32, s.Out*s.In)
			if err := src.ReadRows(x, s.Name, 0); err != nil {
				t.Fatal(err)
			}
			for i, got := range x {
				r, j := i/s.In, i%s.In
				g := 0
				if c.group > 0 {
					g = j / c.group
				}
				if want := float32((r+j)%16-8) * (1 / float32(r+g+1)); got != want {
					t.Fatalf("%+v: %s: row %d, input %d is %v, want %v", c, s.Name, r, j, got, want)
				}
			}
			bits, steps, err := src.(format.Stepped).Steps(s.Name)
			if err != nil || (c.group == 0) != (bits == c.bits && len(steps) == s.Out && steps[1] == 0.5) {
				t.Errorf("%+v: %s: steps of %d bits, %v (%v)", c, s.Name, bits, steps, err)
			}
		}
		src.Close()
	}
}

func TestMalformedCompressed(t *testing.T) {
	for _, c := range []struct{ old, new, says string }{
		{`compressed-tensors`, `awq`, "awq"},
		{`pack-quantized`, `float-quantized`, `format is "float-quantized"`},
		{`pack-quantized`, `int-quantized`, "want symmetric integers"},
		{`"symmetric":true`, `"symmetric":false`, `"symmetric":false`},
		{`"num_bits":4`, `"num_bits":3`, `"num_bits":3`},
		{`"num_bits":4`, `"num_bits":8`, "weight_packed"},
		{`"type":"int"`, `"type":"float"`, "want symmetric integers"},
		{`"strategy":"channel"`, `"strategy":"tensor"`, `"strategy":"tensor"`},
		{`"strategy":"channel"`, `"strategy":"group","group_size":0`, `"group_size":0`},
		{`"strategy":"channel"`, `"strategy":"group","group_size":3`, "weight_scale"},
		{`"strategy":"channel"`, `"strategy":"channel","actorder":"group"`, "actorder is group"},
		{`"weights":{`, `"weighs":{`, "weights are null"},
		{`["Linear"]`, `["re:.*down_proj"]`, "down_proj"},
		{`["lm_head"]`, `["lm_head","model.layers.0.mlp.up_proj"]`, "up_proj"},
		{`["lm_head"]`, `["lm_head","re:.*gate"]`, `["lm_head" "re:.*gate"] ignored`},
		{`["lm_head"]`, `[]`, "lm_head"},
	} {
		f := compressed(4, 0, true)
		config := string(f["config.json"])
		if !strings.Contains(config, c.old) {
			t.Fatalf("%s is not in %s", c.old, config)
		}
		f["config.json"] = []byte(strings.Replace(config, c.old, c.new, 1))
		refused(t, c.new, f, c.says)
	}
	f := compressed(4, 0, true)
	f["config.json"] = marshal(tinyConfig())
	refused(t, "integers that config.json does not know of", f, "q_proj.weight")
	f = tinyFiles("F32")
	f["config.json"] = compressed(4, 0, true)["config.json"]
	refused(t, "no integers", f, "weight_scale")
	f = compressed(4, math.MaxInt, true)
	list := compressedTensors(4, math.MaxInt, true)
	for i, e := range list {
		if strings.HasSuffix(e.name, "_scale") {
			list[i].shape, list[i].data = []int{e.shape[0], 0}, nil
		}
	}
	f["model.safetensors"] = tensorsFile(list)
	refused(t, "rows without scales", f, `weight_scale" is F32[8 0], want F32[8 1]`)
	f = compressed(4, 0, true)
	whole := f["model.safetensors"]
	shape := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 12), 8) // of gate_proj
	i := strings.Index(string(whole), string(shape))
	f["model.safetensors"] = slices.Concat(whole[:i], binary.LittleEndian.AppendUint64(nil, 13), whole[i+8:])
	refused(t, "another weight_shape", f, "weight_shape")
}

// What is written in shards is read back, and none is larger than it shall be.
func TestShards(t *testing.T) {
	var list []Tensor
	for _, n := range []int{10, 10, 30, 5, 5, 5, 1} {
		list = append(list, Tensor{DType: "F32", Shape: []int{n}})
	}
	var got []int
	for _, s := range split(list, 80) {
		n := int64(0)
		for _, t := range s {
			n += t.size()
		}
		got = append(got, len(s))
		if n > 80 && len(s) > 1 {
			t.Errorf("a shard of %d bytes", n)
		}
	}
	if want := []int{2, 1, 4}; !slices.Equal(got, want) {
		t.Errorf("shards of %v tensors, want %v", got, want)
	}
}
