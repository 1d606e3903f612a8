package hf

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
)

// quantizationConfig is one of 4-bit integers in groups of 4 inputs.
func quantizationConfig() (config, weights object) {
	weights = object{"num_bits": 4, "type": "int", "symmetric": true, "strategy": "group", "group_size": 4}
	return object{"quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": []string{"lm_head"},
		"config_groups": object{"group_0": object{"targets": []string{"Linear"}, "weights": weights}}}, weights
}

// Integers in groups are read as integers times the scale of their group: integer e of a row is (e+row)%16-8, and the
// scale of group g of a row row+g+1.
func TestCompressedGroups(t *testing.T) {
	c := tinyConfig()
	config, weights := quantizationConfig()
	c["quantization_config"] = config
	linear := map[string]bool{}
	m := format.Config{HiddenSize: 8, IntermediateSize: 12, NumHiddenLayers: 2, NumAttentionHeads: 2, NumKeyValueHeads: 1, HeadDim: 4, VocabSize: 5}
	var list, endless []entry
	for _, s := range m.Tensors() {
		if linear[s.Name] = s.Linear; !s.Linear {
			continue
		}
		words, groups := (s.In+7)/8, s.In/4
		packed, scales := make([]byte, 4*words*s.Out), []byte(nil)
		for r := range s.Out {
			for e := range s.In {
				packed[4*words*r+e/2] |= byte((e+r)%16) << (e % 2 * 4)
			}
			for g := range groups {
				scales = binary.LittleEndian.AppendUint32(scales, math.Float32bits(float32(r+g+1)))
			}
		}
		shape := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(s.Out)), uint64(s.In))
		list = append(list, entry{s.Name + "_packed", "I32", []int{s.Out, words}, packed},
			entry{s.Name + "_scale", "F32", []int{s.Out, groups}, scales}, entry{s.Name + "_shape", "I64", []int{2}, shape})
		endless = append(endless, list[len(list)-3], entry{s.Name + "_scale", "F32", []int{s.Out, 0}, nil}, list[len(list)-1])
	}
	for _, e := range tinyTensors("F32") {
		if !linear[e.name] {
			list, endless = append(list, e), append(endless, e)
		}
	}
	dir := func(list []entry) files {
		return files{"config.json": marshal(c), "model.safetensors": safetensorsFile(marshal(header(list)), list), "tokenizer.model": tinyTokenizer()}
	}
	src := open(t, dir(list))
	for _, s := range m.Tensors() {
		if !s.Linear {
			continue
		}
		row := make([]float32, s.In)
		for r := range s.Out {
			if err := src.ReadRows(row, s.Name, r); err != nil {
				t.Fatal(err)
			}
			for e, got := range row {
				if want := float32((e+r)%16-8) * float32(r+e/4+1); got != want {
					t.Fatalf("%s: row %d, input %d is %v, want %v", s.Name, r, e, got, want)
				}
			}
		}
		if _, steps, err := src.(format.Stepped).Steps(s.Name); err != nil || steps != nil {
			t.Errorf("%s: groups have scales of rows %v (%v)", s.Name, steps, err)
		}
	}

	// A group of more inputs than there are has a scale all the same.
	weights["group_size"] = math.MaxInt
	if _, err := Open(dir(endless).write(t), ""); err == nil || !strings.Contains(err.Error(), `weight_scale" is F32[8 0], want F32[8 1]`) {
		t.Errorf("rows without scales: %v", err)
	}
}

// What is refused is told as the file has it.
func TestCompressedRefuses(t *testing.T) {
	for want, change := range map[string]func(config, weights object){
		`"symmetric":false,"strategy":"group","group_size":4,`: func(_, w object) { w["symmetric"] = false },
		`"strategy":"tensor","group_size":4,`:                  func(_, w object) { w["strategy"] = "tensor" },
		`"group_size":0,`:                                      func(_, w object) { w["group_size"] = 0 },
		`"num_bits":3,`:                                        func(_, w object) { w["num_bits"] = 3 },
		"weights are null":                                     func(c, _ object) { c["config_groups"] = object{"a": object{"targets": []string{"Linear"}}} },
		"actorder is group":                                    func(_, w object) { w["actorder"] = "group" },
		`format is "float-quantized"`:                          func(c, _ object) { c["format"] = "float-quantized" },
		`["lm_head" "re:.*gate"] ignored`:                      func(c, _ object) { c["ignore"] = []string{"lm_head", "re:.*gate"} },
	} {
		c, w := quantizationConfig()
		change(c, w)
		f, config := tinyFiles("F32"), tinyConfig()
		config["quantization_config"] = c
		f["config.json"] = marshal(config)
		if _, err := Open(f.write(t), ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error that says %s", err, want)
		}
	}
}
