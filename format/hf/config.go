package hf

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/llmqat/llmqat/format"
)

// configFile is the part of config.json that decides what a LLaMA computes.
type configFile struct {
	Architectures         []string        `json:"architectures"`
	ModelType             string          `json:"model_type"`
	HiddenSize            *int            `json:"hidden_size"`
	IntermediateSize      *int            `json:"intermediate_size"`
	NumHiddenLayers       *int            `json:"num_hidden_layers"`
	NumAttentionHeads     *int            `json:"num_attention_heads"`
	NumKeyValueHeads      *int            `json:"num_key_value_heads"`
	HeadDim               *int            `json:"head_dim"`
	VocabSize             *int            `json:"vocab_size"`
	MaxPositionEmbeddings *int            `json:"max_position_embeddings"`
	RMSNormEps            *float64        `json:"rms_norm_eps"`
	RopeTheta             *float64        `json:"rope_theta"`
	RopeScaling           *ropeFile       `json:"rope_scaling"`
	RopeParameters        *ropeFile       `json:"rope_parameters"` // transformers 5: both of the above
	PartialRotaryFactor   *float64        `json:"partial_rotary_factor"`
	TieWordEmbeddings     bool            `json:"tie_word_embeddings"`
	BOSTokenID            *idList         `json:"bos_token_id"`
	EOSTokenID            *idList         `json:"eos_token_id"`
	HiddenAct             *string         `json:"hidden_act"`
	AttentionBias         bool            `json:"attention_bias"`
	MLPBias               bool            `json:"mlp_bias"`
	QuantizationConfig    json.RawMessage `json:"quantization_config"`
}

type ropeFile struct {
	RopeType                      *string  `json:"rope_type"`
	Type                          *string  `json:"type"` // what older files call it
	Factor                        float64  `json:"factor"`
	LowFreqFactor                 float64  `json:"low_freq_factor"`
	HighFreqFactor                float64  `json:"high_freq_factor"`
	OriginalMaxPositionEmbeddings int      `json:"original_max_position_embeddings"`
	RopeTheta                     *float64 `json:"rope_theta"`
	PartialRotaryFactor           *float64 `json:"partial_rotary_factor"`
}

// idList is a token id, a list of them, or null.
type idList []int

func (l *idList) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("[")) {
		return json.Unmarshal(data, (*[]int)(l))
	}
	*l = make(idList, 1)
	return json.Unmarshal(data, &(*l)[0])
}

// What transformers' LlamaConfig takes where config.json is silent.
const (
	defaultRMSNormEps = 1e-6
	defaultRopeTheta  = 10000
	defaultContext    = 2048
	defaultBOS        = 1
	defaultEOS        = 2
)

const llama = "LlamaForCausalLM"

// parseConfig reads config.json.
func parseConfig(data []byte) (format.Config, error) {
	var f configFile
	// Defaults of keys whose null means something else than their absence.
	f.BOSTokenID, f.EOSTokenID = &idList{defaultBOS}, &idList{defaultEOS}
	if err := json.Unmarshal(data, &f); err != nil {
		return format.Config{}, fmt.Errorf("%w: %w", err, format.ErrCorrupt)
	}
	if err := f.supported(); err != nil {
		return format.Config{}, fmt.Errorf("%w: %w", err, format.ErrUnsupported)
	}
	c := format.Config{
		RMSNormEps: or(f.RMSNormEps, defaultRMSNormEps), RopeTheta: or(f.RopeTheta, defaultRopeTheta),
		MaxPositionEmbeddings: or(f.MaxPositionEmbeddings, defaultContext),
		TieWordEmbeddings:     f.TieWordEmbeddings, BOSTokenID: -1,
	}
	for _, n := range []struct {
		name string
		from *int
		to   *int
	}{
		{"hidden_size", f.HiddenSize, &c.HiddenSize},
		{"intermediate_size", f.IntermediateSize, &c.IntermediateSize},
		{"num_hidden_layers", f.NumHiddenLayers, &c.NumHiddenLayers},
		{"num_attention_heads", f.NumAttentionHeads, &c.NumAttentionHeads},
		{"vocab_size", f.VocabSize, &c.VocabSize},
	} {
		if n.from == nil {
			return format.Config{}, fmt.Errorf("no %s: %w", n.name, format.ErrCorrupt)
		}
		*n.to = *n.from
	}
	c.NumKeyValueHeads = or(f.NumKeyValueHeads, c.NumAttentionHeads)
	switch {
	case f.HeadDim != nil:
		c.HeadDim = *f.HeadDim
	case c.NumAttentionHeads > 0:
		c.HeadDim = c.HiddenSize / c.NumAttentionHeads
	}
	if f.BOSTokenID != nil && len(*f.BOSTokenID) > 0 {
		c.BOSTokenID = (*f.BOSTokenID)[0]
	}
	if f.EOSTokenID != nil {
		c.EOSTokenIDs = *f.EOSTokenID
	}
	if err := f.rope(&c); err != nil {
		return format.Config{}, err
	}
	return c, c.Check()
}

// supported names the first thing in f that makes another model than llmqat's LLaMA.
func (f *configFile) supported() error {
	switch {
	case len(f.Architectures) == 0 && f.ModelType != "llama":
		return fmt.Errorf("no architectures and model_type is %.80q, want llama", f.ModelType)
	case len(f.Architectures) > 1, len(f.Architectures) == 1 && f.Architectures[0] != llama:
		return fmt.Errorf("architectures are %.200q, want %s", f.Architectures, llama)
	case f.AttentionBias:
		return fmt.Errorf("attention_bias is true, want linear layers without bias")
	case f.MLPBias:
		return fmt.Errorf("mlp_bias is true, want linear layers without bias")
	case f.HiddenAct != nil && *f.HiddenAct != "silu":
		return fmt.Errorf("hidden_act is %.80q, want silu", *f.HiddenAct)
	case or(f.PartialRotaryFactor, 1) != 1:
		return fmt.Errorf("partial_rotary_factor is %v, want 1", *f.PartialRotaryFactor)
	case f.RopeParameters != nil && or(f.RopeParameters.PartialRotaryFactor, 1) != 1:
		return fmt.Errorf("rope_parameters: partial_rotary_factor is %v, want 1", *f.RopeParameters.PartialRotaryFactor)
	}
	_, err := f.compression()
	return err
}

// rope sets c's RopeTheta and RopeScaling.
func (f *configFile) rope(c *format.Config) error {
	r, key := f.RopeScaling, "rope_scaling"
	if f.RopeParameters != nil {
		r, key = f.RopeParameters, "rope_parameters"
	}
	if r == nil {
		return nil
	}
	c.RopeTheta = or(r.RopeTheta, c.RopeTheta)
	kind := r.RopeType
	if kind == nil {
		kind = r.Type
	}
	if kind == nil && key == "rope_parameters" {
		return nil
	}
	switch {
	case kind == nil:
		return fmt.Errorf("rope_scaling names no rope_type: %w", format.ErrCorrupt)
	case *kind == "default" || *kind == "none":
		return nil
	case *kind == "linear":
		c.RopeScaling = &format.RopeScaling{Type: *kind, Factor: r.Factor}
	case *kind == "llama3":
		c.RopeScaling = &format.RopeScaling{Type: *kind, Factor: r.Factor, LowFreqFactor: r.LowFreqFactor,
			HighFreqFactor: r.HighFreqFactor, OriginalMaxPositionEmbeddings: r.OriginalMaxPositionEmbeddings}
	default:
		return fmt.Errorf("%s: type is %.80q, want default, linear or llama3: %w", key, *kind, format.ErrUnsupported)
	}
	return nil
}

// generationEOS returns the ids that end a text by generation_config.json, which go
// before those of config.json; nil where it names none.
func generationEOS(data []byte) ([]int, error) {
	var f struct {
		EOSTokenID *idList `json:"eos_token_id"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("%w: %w", err, format.ErrCorrupt)
	}
	if f.EOSTokenID == nil {
		return nil, nil
	}
	return *f.EOSTokenID, nil
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
