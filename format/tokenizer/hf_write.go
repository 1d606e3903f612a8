package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// writeHF returns the tokenizer.json that ParseHF reads back to t.
func writeHF(t *Tokenizer, m *byteLevel) []byte {
	vocab := make(map[string]int, len(t.pieces))
	added := []map[string]any{}
	for id, p := range t.pieces {
		vocab[p.Text] = id
		if p.Kind == Control || p.Kind == UserDefined {
			added = append(added, map[string]any{
				"id": id, "content": p.Text, "special": p.Kind == Control, "normalized": false,
				"single_word": false, "lstrip": false, "rstrip": false,
			})
		}
	}
	merges := m.merges
	if merges == nil {
		merges = []string{}
	}
	return marshal(map[string]any{
		"version":        "1.0",
		"truncation":     nil,
		"padding":        nil,
		"added_tokens":   added,
		"normalizer":     nil,
		"pre_tokenizer":  m.pre.json(),
		"post_processor": t.postProcessor(),
		"decoder":        byteLevelStep(true),
		"model": map[string]any{
			"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": m.ignoreMerge, "vocab": vocab, "merges": merges,
		},
	})
}

// patchHF returns the tokenizer.json file, which ParseHF has accepted, with the ids around a text of t.
func patchHF(file []byte, t *Tokenizer) []byte {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(file, &keys); err != nil {
		panic(fmt.Sprintf("tokenizer: With: %v in a file that was parsed before", err))
	}
	// Reading a key ignores its case.
	maps.DeleteFunc(keys, func(key string, _ json.RawMessage) bool { return strings.EqualFold(key, "post_processor") })
	keys["post_processor"] = marshal(t.postProcessor())
	return marshal(keys)
}

// postProcessor writes the ids around a text as template reads them. Where BOS is not to be added, and for
// EOS, which never is, the template for two texts holds the id: no model here is given two.
func (t *Tokenizer) postProcessor() map[string]any {
	s := t.special
	tokens := map[string]any{}
	part := func(id int32) []any {
		if id < 0 {
			return nil
		}
		text := t.pieces[id].Text
		tokens[text] = map[string]any{"id": text, "ids": []int32{id}, "tokens": []string{text}}
		return []any{map[string]any{"SpecialToken": map[string]any{"id": text, "type_id": 0}}}
	}
	sequence := func(id string) any {
		return map[string]any{"Sequence": map[string]any{"id": id, "type_id": 0}}
	}
	single := []any{sequence("A")}
	if s.AddBOS {
		single = append(part(s.BOS), single...)
	}
	pair := append(part(s.BOS), sequence("A"), sequence("B"))
	pair = append(pair, part(s.EOS)...)
	return map[string]any{"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}
}

func byteLevelStep(regex bool) map[string]any {
	return map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex}
}

// json returns the pre-tokenizer as splitter recognises it.
func (p preTokenizer) json() any {
	sequence := func(steps ...any) any { return map[string]any{"type": "Sequence", "pretokenizers": steps} }
	switch {
	case p.digits:
		return sequence(map[string]any{"type": "Digits", "individual_digits": true}, byteLevelStep(true))
	case p.llama3:
		return sequence(map[string]any{"type": "Split", "pattern": map[string]any{"Regex": regexLlama3},
			"behavior": "Isolated", "invert": false}, byteLevelStep(false))
	}
	return byteLevelStep(true)
}

// marshal writes v, which holds nothing that JSON cannot, without HTML's escapes.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("tokenizer: tokenizer.json: %v", err))
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
