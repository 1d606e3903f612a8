package model

import (
	"fmt"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
)

// weights makes views of f's tensors. qat.Open has checked names, types and shapes.
func (m *Model) weights(f *qat.File, progress func(done, total int64)) error {
	var copied func(int64)
	if progress != nil {
		copied = func(bytes int64) { progress(bytes, int64(len(f.Bytes()))) }
	}
	mem, err := m.arena.Import(f.Bytes(), copied)
	if err != nil {
		return fmt.Errorf("weights to %s: %w", m.dev.Name(), err)
	}
	l := loader{f, mem}
	m.embed = l.weight(format.EmbedName)
	m.norm = l.vector(format.NormName)
	m.lmHead = []kernels.Weight{m.embed} // tied
	if _, ok := f.Tensor(format.LMHeadName); ok {
		m.lmHead[0] = l.weight(format.LMHeadName)
	}
	m.layers = make([]layer, m.config.NumHiddenLayers)
	for i := range m.layers {
		name := func(tail string) string { return format.LayerName(i, tail+".weight") }
		m.layers[i] = layer{
			inputNorm:         l.vector(name("input_layernorm")),
			postAttentionNorm: l.vector(name("post_attention_layernorm")),
			qkvProj: []kernels.Weight{
				l.weight(name("self_attn.q_proj")), l.weight(name("self_attn.k_proj")), l.weight(name("self_attn.v_proj")),
			},
			gateUpProj: []kernels.Weight{l.weight(name("mlp.gate_proj")), l.weight(name("mlp.up_proj"))},
			oProj:      l.weight(name("self_attn.o_proj")),
			downProj:   l.weight(name("mlp.down_proj")),
		}
	}
	return nil
}

// loader makes views of tensors of f, whose bytes are mem.
type loader struct {
	f   *qat.File
	mem kernels.Mem
}

var weightTypes = map[string]kernels.WeightType{
	"U8": kernels.Int4, "I8": kernels.Int8, "F16": kernels.Float16, "BF16": kernels.BFloat16, "F32": kernels.Float32,
}

func (l loader) weight(name string) kernels.Weight {
	t := l.tensor(name)
	w := kernels.Weight{
		Type: weightTypes[t.DType],
		Data: kernels.Buf[uint8]{Mem: l.mem, Off: int(t.Offset), N: int(t.Size)},
		Out:  t.True[0], In: t.True[1],
	}
	if w.Type.Quantized() {
		w.Scale = l.vector(name + qat.ScaleSuffix)
	}
	return w
}

func (l loader) vector(name string) kernels.Buf[float32] {
	t := l.tensor(name)
	return kernels.Buf[float32]{Mem: l.mem, Off: int(t.Offset), N: t.True[0]}
}

func (l loader) tensor(name string) qat.Tensor {
	t, ok := l.f.Tensor(name)
	if !ok {
		panic(fmt.Sprintf("model: %s: no tensor %q, though qat.Open found the file whole", l.f.Path(), name))
	}
	return t
}
