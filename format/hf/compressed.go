package hf

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
