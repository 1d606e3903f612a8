package hf

import "github.com/llmqat/llmqat/format/tokenizer"

// config is config.json, in the keys that every version of transformers reads.
func (m *Model) config() map[string]any {
	c := m.Config
	f := map[string]any{
		"architectures":           []string{llama},
		"model_type":              "llama",
		"hidden_size":             c.HiddenSize,
		"intermediate_size":       c.IntermediateSize,
		"num_hidden_layers":       c.NumHiddenLayers,
		"num_attention_heads":     c.NumAttentionHeads,
		"num_key_value_heads":     c.NumKeyValueHeads,
		"head_dim":                c.HeadDim,
		"vocab_size":              c.VocabSize,
		"max_position_embeddings": c.MaxPositionEmbeddings,
		"rms_norm_eps":            c.RMSNormEps,
		"rope_theta":              c.RopeTheta,
		"rope_scaling":            c.RopeScaling,
		"hidden_act":              "silu",
		"attention_bias":          false,
		"mlp_bias":                false,
		"tie_word_embeddings":     c.TieWordEmbeddings,
		"torch_dtype":             m.Float,
	}
	m.ends(f)
	if m.Quantization != nil {
		f["quantization_config"] = m.Quantization
	}
	return f
}

// generation is generation_config.json: what ends a text.
func (m *Model) generation() map[string]any {
	f := map[string]any{}
	m.ends(f)
	return f
}

// ends sets the ids that begin and end a text; null says that there is none, where silence would mean 1 and 2.
func (m *Model) ends(f map[string]any) {
	f["bos_token_id"], f["eos_token_id"] = nil, nil
	if id := m.Config.BOSTokenID; id >= 0 {
		f["bos_token_id"] = id
	}
	switch ids := m.Config.EOSTokenIDs; len(ids) {
	case 0:
	case 1:
		f["eos_token_id"] = ids[0]
	default:
		f["eos_token_id"] = ids
	}
}

// tokenizerConfig is tokenizer_config.json: what the tokenizer's file does not say, or transformers does not read there.
func (m *Model) tokenizerConfig() map[string]any {
	t := m.Tokenizer
	f := map[string]any{
		"tokenizer_class":              "PreTrainedTokenizerFast",
		"model_max_length":             m.Config.MaxPositionEmbeddings,
		"clean_up_tokenization_spaces": false, // it would take spaces before punctuation out of an answer
		"bos_token":                    text(t, t.BOS()),
		"eos_token":                    text(t, t.EOS()),
		"unk_token":                    text(t, t.UNK()),
		"add_bos_token":                t.AddBOS(),
		"add_eos_token":                false,
	}
	if name, _ := t.File(); name == "tokenizer.model" {
		f["tokenizer_class"] = "LlamaTokenizer"
		f["legacy"] = true // a space goes before each stretch of text, as SentencePiece has it, even before another space
	}
	if m.ChatTemplate != "" {
		f["chat_template"] = m.ChatTemplate
	}
	return f
}

// text is a token's spelling, or nil.
func text(t *tokenizer.Tokenizer, id int32) any {
	if id < 0 {
		return nil
	}
	return t.Token(id)
}
