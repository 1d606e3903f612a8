package serve

// Card says what a model is and what it takes, for people: GET /v1/models/{id} has it under "llmqat", and the page
// shows it.
type Card struct {
	Parameters       int64 `json:"parameters"`
	Layers           int   `json:"layers"`
	HiddenSize       int   `json:"hidden_size"`
	IntermediateSize int   `json:"intermediate_size"`
	Heads            int   `json:"heads"`
	KVHeads          int   `json:"kv_heads"`
	HeadSize         int   `json:"head_size"`
	VocabSize        int   `json:"vocab_size"`
	TrainedContext   int   `json:"trained_context"` // tokens; max_model_len are served

	ChatTemplate string `json:"chat_template,omitempty"` // its name; none: conversations are refused

	WeightBits     int    `json:"weight_bits"`
	ActivationBits int    `json:"activation_bits"`
	KVBits         int    `json:"kv_bits"`
	KVScheme       string `json:"kv_scheme"`
	LMHeadBits     int    `json:"lm_head_bits"`
	Float          string `json:"float"`  // type of what is not quantized
	Method         string `json:"method"` // how the weights were chosen: "qat", "rtn", ...

	Device       string `json:"device"` // as "cpu/avx2"
	MaxSeqs      int    `json:"max_seqs"`
	KVPages      int    `json:"kv_pages"`
	PageTokens   int    `json:"page_tokens"`
	WeightBytes  int64  `json:"weight_bytes"`
	KVBytes      int64  `json:"kv_bytes"`
	ScratchBytes int64  `json:"scratch_bytes"`

	Provenance Provenance `json:"provenance"`
	Server     string     `json:"server"` // version of the program that serves
}

// Provenance says where a model came from, as far as its file tells.
type Provenance struct {
	Source     string            `json:"source,omitempty"`      // what was quantized
	SourceHash string            `json:"source_hash,omitempty"` // "sha256:..." of its bytes
	CreatedBy  string            `json:"created_by,omitempty"`  // program and version
	Seed       uint64            `json:"seed,omitempty"`
	Steps      int64             `json:"steps,omitempty"`  // of training
	Tokens     int64             `json:"tokens,omitempty"` // of training
	Notes      map[string]string `json:"notes,omitempty"`
}
