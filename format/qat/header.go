package qat

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels/quant"
)

// Bounds of a header, to be checked before anything is allocated for it.
const (
	maxHeader  = 16 << 20 // bytes
	maxTensors = 1 << 16
	maxDims    = 4
	maxSection = 64 << 10 // bytes of config, quantization, tokenizer or provenance
)

// tokenizerNames are the tensors that may hold the tokenizer: the names of its file.
var tokenizerNames = []string{"tokenizer.model", "tokenizer.json"}

// formatName is what metadata.Format says.
const formatName = "llmqat"

// metadata is safetensors' __metadata__: strings, some of them JSON in turn.
type metadata struct {
	Format       string `json:"format"`
	Version      string `json:"version"`
	Config       string `json:"config"`
	Quantization string `json:"quantization"`
	Tensors      string `json:"tensors"`
	Tokenizer    string `json:"tokenizer,omitempty"`
	ChatTemplate string `json:"chat_template,omitempty"`
	Provenance   string `json:"provenance"`
	HeaderSHA256 string `json:"header_sha256"`
}

// quantizationJSON spells a Quantization out, with what follows from it, so that a
// reader need not know the rules.
type quantizationJSON struct {
	WeightBits           int    `json:"weight_bits"`
	ActivationBits       int    `json:"activation_bits"`
	KVBits               int    `json:"kv_bits"`
	KVScheme             string `json:"kv_scheme"`
	KeyQuantized         string `json:"key_quantized"` // before_rope, after_rope or never
	QueryBits            int    `json:"query_bits"`
	Float                string `json:"float"`
	LMHeadBits           int    `json:"lm_head_bits"`
	LMHeadActivationBits int    `json:"lm_head_activation_bits"`
	Method               string `json:"method"`
}

func (q Quantization) json() quantizationJSON {
	key := "after_rope"
	switch kv := q.KV(); {
	case !kv.Quantized():
		key = "never"
	case kv.RotateOnRead():
		key = "before_rope"
	}
	return quantizationJSON{q.Bits.W, q.Bits.A, q.Bits.KV, string(q.KVScheme), key, q.QueryBits(),
		q.Float, q.LMHeadBits, q.LMHeadActivationBits(), q.Method}
}

func (j quantizationJSON) quantization() Quantization {
	return Quantization{
		Bits:     quant.Bits{W: j.WeightBits, A: j.ActivationBits, KV: j.KVBits},
		KVScheme: quant.KVScheme(j.KVScheme), Float: j.Float, LMHeadBits: j.LMHeadBits, Method: j.Method,
	}
}

// tensorJSON is an entry of metadata.Tensors.
type tensorJSON struct {
	Shape  []int  `json:"shape"` // Tensor.True
	SHA256 string `json:"sha256"`
}

// tokenizerJSON is for people and other readers; ours asks the tokenizer itself.
type tokenizerJSON struct {
	File      string `json:"file"`
	VocabSize int    `json:"vocab_size"`
	BOS       int32  `json:"bos"`
	EOS       int32  `json:"eos"`
	AddBOS    bool   `json:"add_bos"`
}

func describeTokenizer(t *tokenizer.Tokenizer) tokenizerJSON {
	name, _ := t.File()
	return tokenizerJSON{name, t.VocabSize(), t.BOS(), t.EOS(), t.AddBOS()}
}

const noDigest = "0000000000000000000000000000000000000000000000000000000000000000"

// encode returns the length and header that precede the data. Its size depends on
// h and the tensors' layout alone, not on their sums.
func (h *Header) encode(tensors []Tensor) ([]byte, error) {
	if len(tensors) > maxTensors {
		return nil, fmt.Errorf("%d tensors, at most %d: %w", len(tensors), maxTensors, format.ErrUnsupported)
	}
	m := h.metadata(tensors)
	for _, s := range []string{m.Config, m.Quantization, m.Tokenizer, m.Provenance} {
		if len(s) > maxSection {
			return nil, fmt.Errorf("metadata of %d bytes, at most %d: %.80s: %w", len(s), maxSection, s, format.ErrUnsupported)
		}
	}
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	b.WriteString(`{"__metadata__":`)
	b.Write(mustJSON(m))
	for _, t := range tensors {
		fmt.Fprintf(&b, `,%s:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`,
			mustJSON(t.Name), t.DType, mustJSON(t.Shape), t.Offset, t.Offset+t.Size)
	}
	b.WriteByte('}')
	for b.Len()%dataAlign != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxHeader {
		return nil, fmt.Errorf("header of %d bytes, at most %d: %w", b.Len()-8, maxHeader, format.ErrUnsupported)
	}
	header := b.Bytes()
	binary.LittleEndian.PutUint64(header, uint64(len(header)-8))
	at := bytes.Index(header, []byte(digestKey)) + len(digestKey)
	copy(header[at:], hexSum(header))
	return header, nil
}

func (h *Header) metadata(tensors []Tensor) *metadata {
	m := &metadata{
		Format: formatName, Version: fmt.Sprint(Version),
		Config:       string(mustJSON(h.Config)),
		Quantization: string(mustJSON(h.Quantization.json())),
		ChatTemplate: h.ChatTemplate,
		Provenance:   string(mustJSON(h.Provenance)),
		HeaderSHA256: noDigest,
	}
	if h.Tokenizer != nil {
		m.Tokenizer = string(mustJSON(describeTokenizer(h.Tokenizer)))
	}
	var list strings.Builder
	for i, t := range tensors {
		sum := t.SHA256
		if sum == "" {
			sum = noDigest
		}
		list.WriteByte("{,"[min(i, 1)])
		fmt.Fprintf(&list, "%s:%s", mustJSON(t.Name), mustJSON(tensorJSON{t.True, sum}))
	}
	list.WriteByte('}')
	m.Tensors = list.String()
	return m
}

// digestKey precedes the header's own checksum. Within a JSON string its quotes
// would be escaped, so it stands once.
const digestKey = `"header_sha256":"`

// mustJSON marshals what cannot fail: numbers checked to be finite, strings and
// lists of them.
func mustJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("qat: %v", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
