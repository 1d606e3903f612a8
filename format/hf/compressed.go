package hf

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/nlpodyssey/safetensors"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/weights"
)

// CompressedConfig returns the quantization_config of a model whose layers have integers of weightBits with a scale a
// row, as the library compressed-tensors reads it. lm_head is not among them. Only for int8 weights and activations of
// 8 bits do engines have kernels that take integers of both: for all others activations are left out.
func CompressedConfig(weightBits, activationBits int) any {
	type object = map[string]any
	group := object{
		"targets":            []string{"Linear"},
		"weights":            object{"num_bits": weightBits, "type": "int", "symmetric": true, "strategy": "channel", "dynamic": false},
		"input_activations":  nil,
		"output_activations": nil,
	}
	format := "pack-quantized"
	if weightBits == 8 && activationBits == 8 {
		format = "int-quantized"
		group["input_activations"] = object{"num_bits": 8, "type": "int", "symmetric": true, "strategy": "token", "dynamic": true}
	}
	return object{
		"quant_method":        "compressed-tensors",
		"quantization_status": "compressed",
		"format":              format,
		"config_groups":       object{"group_0": group},
		"ignore":              []string{"lm_head"},
	}
}

// compression is what a quantization_config says of the layers' matrices.
type compression struct {
	bits   int  // of an integer
	packed bool // several of them in an int32
	group  int  // inputs that share a scale; 0: all of a row
}

// compressionFile is the part of compressed-tensors' quantization_config that decides what weights are. What it says of
// activations and of the KV cache is for engines.
type compressionFile struct {
	Method string `json:"quant_method"`
	Format string `json:"format"`
	Groups map[string]struct {
		Targets []string `json:"targets"`
		Format  *string  `json:"format"`
		Weights *struct {
			Bits      int     `json:"num_bits"`
			Type      string  `json:"type"`
			Symmetric bool    `json:"symmetric"`
			Strategy  string  `json:"strategy"`
			GroupSize *int    `json:"group_size"`
			Actorder  *string `json:"actorder"`
		} `json:"weights"`
	} `json:"config_groups"`
	Ignore []string `json:"ignore"`
}

// compression reads quantization_config, nil where there is none. Of all that quantizes it takes integers with a scale a
// row or a group of inputs, of all layers' matrices.
func (f *configFile) compression() (*compression, error) {
	if data := f.QuantizationConfig; len(data) == 0 || string(data) == "null" {
		return nil, nil
	}
	refuse := func(what string, args ...any) (*compression, error) {
		return nil, fmt.Errorf("quantization_config: %s: give a model of floats", fmt.Sprintf(what, args...))
	}
	var q compressionFile
	if err := json.Unmarshal(f.QuantizationConfig, &q); err != nil {
		return refuse("%v", err)
	}
	if q.Method != "compressed-tensors" {
		return refuse("quant_method is %.80q, want compressed-tensors", q.Method)
	}
	if len(q.Groups) != 1 || len(q.Ignore) != 1 || q.Ignore[0] != "lm_head" {
		return refuse("%d config_groups, %.200q ignored, want one for all layers, and lm_head ignored", len(q.Groups), q.Ignore)
	}
	for _, g := range q.Groups {
		if g.Format != nil {
			q.Format = *g.Format
		}
		w := g.Weights
		said, _ := json.Marshal(w)
		switch {
		case len(g.Targets) != 1 || g.Targets[0] != "Linear":
			return refuse("targets are %.200q, want Linear", g.Targets)
		case q.Format != "pack-quantized" && q.Format != "int-quantized":
			return refuse("format is %.80q, want pack-quantized or int-quantized", q.Format)
		case w == nil || w.Type != "int" || !w.Symmetric || w.Bits != 8 && (w.Bits != 4 || q.Format == "int-quantized"):
			return refuse("weights are %.300s, want symmetric integers of 8 bits or, packed, of 4", said)
		case w.Actorder != nil && *w.Actorder == "group":
			return refuse("actorder is group, want inputs in their order")
		}
		c := &compression{bits: w.Bits, packed: q.Format == "pack-quantized"}
		switch {
		case w.Strategy == "channel":
			return c, nil
		case w.Strategy == "group" && w.GroupSize != nil && *w.GroupSize > 0:
			c.group = *w.GroupSize
			return c, nil
		}
		return refuse("weights are %.300s, want the strategy channel, or group with a group_size", said)
	}
	panic("unreachable")
}

// matrix picks a layer's matrix of integers from the tensors found.
func (c *compression) matrix(dir string, s format.TensorSpec, found map[string]stored) (weights.Tensor, error) {
	base := strings.TrimSuffix(s.Name, "weight")
	tensor := func(tail string, dtypes []safetensors.DType, shape ...uint64) (stored, error) {
		t, ok := found[base+tail]
		if !ok {
			return t, fmt.Errorf("%s: no tensor %q, which quantization_config wants: %w", dir, base+tail, format.ErrCorrupt)
		}
		if !slices.Contains(dtypes, t.DType()) || !slices.Equal(t.Shape(), shape) {
			return t, fmt.Errorf("%s: tensor %q is %s%d, want %s%d: %w", t.path, base+tail, t.DType(), t.Shape(), dtypes[0], shape, format.ErrCorrupt)
		}
		return t, nil
	}
	groups := 1
	if c.group > 0 {
		groups = (s.In-1)/c.group + 1
	}
	scales, err := tensor("weight_scale", []safetensors.DType{safetensors.F32, safetensors.F16, safetensors.BF16}, uint64(s.Out), uint64(groups))
	if err != nil {
		return weights.Tensor{}, err
	}
	e := weights.Integers{Bits: c.bits, Cols: s.In, RowBytes: s.In, Group: c.group, Groups: groups}
	var t stored
	if c.packed {
		words := (s.In*c.bits + 31) / 32
		e.Offset, e.RowBytes = 1<<(c.bits-1), 4*words
		if t, err = tensor("weight_packed", []safetensors.DType{safetensors.I32}, uint64(s.Out), uint64(words)); err != nil {
			return weights.Tensor{}, err
		}
		shape, err := tensor("weight_shape", []safetensors.DType{safetensors.I64}, 2)
		if err != nil {
			return weights.Tensor{}, err
		}
		want := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(s.Out)), uint64(s.In))
		if !bytes.Equal(shape.Data(), want) {
			return weights.Tensor{}, fmt.Errorf("%s: tensor %q does not hold the shape [%d, %d]: %w", shape.path, base+"weight_shape", s.Out, s.In, format.ErrCorrupt)
		}
	} else if t, err = tensor("weight", []safetensors.DType{safetensors.I8}, uint64(s.Out), uint64(s.In)); err != nil {
		return weights.Tensor{}, err
	}
	e.Q = t.Data()
	e.Scales = floatElements(scales)
	out := weights.Tensor{DType: format.Q8, Elements: e}
	if c.bits == 4 {
		out.DType = format.Q4
	}
	if c.group == 0 {
		out.Steps = e.Scales
	}
	return out, nil
}

// of returns the matrix of which the named tensor is a part.
func (c *compression) of(name string) string {
	if c != nil {
		for _, tail := range []string{"_packed", "_scale", "_shape"} {
			if whole, ok := strings.CutSuffix(name, ".weight"+tail); ok {
				return whole + ".weight"
			}
		}
	}
	return name
}

// floatElements returns the numbers of a tensor of floats, nil of any other.
func floatElements(t stored) weights.Elements {
	switch t.DType() {
	case safetensors.F32:
		return weights.F32(t.Data())
	case safetensors.F16:
		return weights.F16(t.Data())
	case safetensors.BF16:
		return weights.BF16(t.Data())
	}
	return nil
}
