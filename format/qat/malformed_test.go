package qat

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/damage"
	"github.com/llmqat/llmqat/format/internal/mapped"
	"github.com/llmqat/llmqat/internal/long"
	"github.com/llmqat/llmqat/kernels/quant"
)

// smallFile returns the bytes of a file of the smallest model that has everything:
// padding, scales and a tokenizer.
func smallFile(t testing.TB) []byte {
	t.Helper()
	h := &Header{
		Config: format.Config{
			HiddenSize: 4, IntermediateSize: 5, NumHiddenLayers: 1, NumAttentionHeads: 2, NumKeyValueHeads: 1,
			HeadDim: 2, VocabSize: 3, MaxPositionEmbeddings: 8, RMSNormEps: 1e-5, RopeTheta: 1e4,
			BOSTokenID: 1, EOSTokenIDs: []int{2},
		},
		Quantization: Quantization{Bits: quant.Bits{W: 4, A: 8, KV: 4}, KVScheme: quant.KVHeadZP,
			Float: Float16, LMHeadBits: 8, Method: "rtn"},
		Provenance: Provenance{Source: "a test"},
		Tokenizer:  smallTokenizer(t),
	}
	path := filepath.Join(t.TempDir(), "m.qat")
	write(t, path, h)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// cut returns a file's header as text, padding off, and its data.
func cut(file []byte) (string, []byte) {
	n := 8 + binary.LittleEndian.Uint64(file)
	return strings.TrimRight(string(file[8:n]), " "), file[n:]
}

// seal puts a header and data together again: padding, length and checksum are
// right whatever the header says.
func seal(header string, data []byte) []byte {
	b := append(make([]byte, 8), header...)
	for len(b)%dataAlign != 0 {
		b = append(b, ' ')
	}
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	if at := bytes.Index(b, []byte(digestKey)) + len(digestKey); at >= len(digestKey) && at+len(noDigest) <= len(b) {
		copy(b[at:], noDigest)
		copy(b[at:], hexSum(b))
	}
	return append(b, data...)
}

// misaligned is seal with a header 8 bytes longer.
func misaligned(header string, data []byte) []byte {
	b := seal(header, nil)
	b = append(b, "        "...)
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	at := bytes.Index(b, []byte(digestKey)) + len(digestKey)
	copy(b[at:], noDigest)
	copy(b[at:], hexSum(b))
	return append(b, data...)
}

// check opens b and verifies it, and returns the first error, which must say what
// kind it is, and which file.
func check(t testing.TB, b []byte) error {
	t.Helper()
	begin := time.Now()
	f, err := read(mapped.Memory("bad.qat", b))
	if err == nil {
		err = f.Verify(context.Background(), nil)
	}
	if d := time.Since(begin); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
	if err == nil {
		return nil
	}
	if !errors.Is(err, format.ErrCorrupt) && !errors.Is(err, format.ErrUnsupported) {
		t.Errorf("error %q wraps neither ErrCorrupt nor ErrUnsupported", err)
	}
	if !strings.HasPrefix(err.Error(), "bad.qat: ") || len(err.Error()) > 4000 {
		t.Errorf("error of %d bytes does not begin with the file's name: %.200s", len(err.Error()), err)
	}
	return err
}

func TestSealedFileIsGood(t *testing.T) {
	file := smallFile(t)
	if again := seal(cut(file)); !bytes.Equal(file, again) {
		t.Fatal("seal does not give back what cut took apart")
	}
	if err := check(t, file); err != nil {
		t.Fatal(err)
	}
}

// TestHeaderEdits changes one thing in the header, puts the checksum right, and
// wants the change found; want is part of the error.
func TestHeaderEdits(t *testing.T) {
	file := smallFile(t)
	header, data := cut(file)
	const q, sumKey = "model.layers.0.self_attn.q_proj.weight", `sha256\":\"`
	entry := func(name string) string { return entryText(t, header, name) }
	shape := func(name, s string) func(string) string {
		e := entry(name)
		from, to := strings.Index(e, `"shape":`), strings.Index(e, `,"data_offsets"`)
		return sub(e, e[:from]+`"shape":`+s+e[to:])
	}
	offsets := func(name, s string) func(string) string {
		e := entry(name)
		return sub(e, e[:strings.Index(e, `"data_offsets":`)]+`"data_offsets":`+s+"}")
	}
	type edit struct {
		name string
		do   func(string) string
		want string
	}
	edits := []edit{
		{"no object", func(string) string { return "[]" }, "no checksum"},
		{"empty object", func(string) string { return "{}" }, "no checksum"},
		{"nothing", func(string) string { return "" }, ""},
		{"a second value", func(h string) string { return h + "{}" }, "not JSON"},
		{"comma at the end", sub("]}}", "]},}"), "not JSON"},
		{"broken UTF-8", sub("a test", "a \xff test"), "not UTF-8"},
		{"broken UTF-8 in a name", sub(entry(q), strings.Replace(entry(q), "q_proj", "q\xc0proj", 1)), "not UTF-8"},
		{"NUL in a name", sub(`"`+q+`":{`, `"`+q+`\u0000":{`), "missing"},
		{"lone surrogate in a name", sub(`"`+q+`":{`, `"`+q+`\ud800":{`), "missing"},
		{"empty name", sub(`"`+q+`":{`, `"":{`), "missing"},
		{"name of another case", sub(`"`+q+`":{`, `"`+strings.ToUpper(q)+`":{`), "missing"},
		{"name of 1 MiB", sub(`"`+q+`":{`, `"`+strings.Repeat("x", 1<<20)+`":{`), "missing"},
		{"deep nesting", sub(entry(q), strings.Repeat("[", 20000)+strings.Repeat("]", 20000)), "not JSON"},
		{"nesting", sub(entry(q), `"`+q+`":`+strings.Repeat("[", 500)+strings.Repeat("]", 500)), "want {"},
		{"tensor twice", sub(entry(q), entry(q)+","+entry(q)), "twice"},
		{"metadata twice", sub(entry(q), entry(q)+`,"__metadata__":{}`), "twice"},
		{"metadata is a list", func(string) string { return `{"__metadata__":[` + digestKey[:15] + `]}` }, "no checksum"},
		{"metadata key twice", sub(`"format":"llmqat"`, `"format":"llmqat","format":"llmqat"`), "twice"},
		{"metadata number", sub(`"format":"llmqat"`, `"format":1`), "want a string"},
		{"metadata null", sub(`"format":"llmqat"`, `"format":null`), "want a string"},
		{"many metadata keys", sub(`"format":"llmqat"`, `"format":"llmqat"`+manyKeys(100, `,"k%d":""`)), "more than 64"},
		{"digest twice", sub(`"format":"llmqat"`, `"format":"llmqat","x":{`+digestKey+`"}`), "no checksum"},
		{"other format", sub(`"format":"llmqat"`, `"format":"pt"`), "format is"},
		{"version 0", sub(`"version":"1"`, `"version":"0"`), "version is"},
		{"version 2", sub(`"version":"1"`, `"version":"2"`), "newer llmqat"},
		{"version -1", sub(`"version":"1"`, `"version":"-1"`), "version is"},
		{"version empty", sub(`"version":"1"`, `"version":""`), "version is"},
		{"version huge", sub(`"version":"1"`, `"version":"99999999999999999999"`), "version is"},
		{"no version", sub(`"version":"1",`, ``), "version is"},
		{"no config", sub(`"config":`, `"confi":`), "metadata config"},
		{"no tensors", sub(`"tensors":"`, `"tensor":"`), "metadata tensors"},
		{"no provenance", sub(`"provenance":"`, `"prov":"`), "metadata provenance"},
		{"no quantization", sub(`"quantization":"`, `"quant":"`), "metadata quantization"},
		{"no tokenizer section", sub(`"tokenizer":"`, `"token":"`), "metadata tokenizer"},
		{"config is a list", sub(`"config":"{`, `"config":"[{`), "metadata config"},
		{"config key twice", sub(`\"head_dim\":2`, `\"head_dim\":2,\"head_dim\":2`), "twice"},
		{"config key unknown", sub(`\"head_dim\":2`, `\"head_dim\":2,\"attention_bias\":true`), "understood as"},
		{"config key missing", sub(`\"rms_norm_eps\":0.00001,`, ``), "understood as"},
		{"config key in capitals", sub(`\"head_dim\"`, `\"Head_Dim\"`), "understood as"},
		{"rope_scaling null", sub(`\"head_dim\":2`, `\"head_dim\":2,\"rope_scaling\":null`), "understood as"},
		{"rope_scaling unknown", sub(`\"head_dim\":2`, `\"head_dim\":2,\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2}`), "rope_scaling"},
		{"provenance too long", sub(`a test`, strings.Repeat("x", maxSection)), "at most"},
		{"chat template too long", sub(`"provenance":`, `"chat_template":"`+strings.Repeat("x", format.MaxChatTemplate+1)+`","provenance":`), "chat template"},
		{"chat template is no string", sub(`"provenance":`, `"chat_template":{},"provenance":`), "header"},
		{"provenance nested deep", sub(`{\"source\":\"a test\"}`, strings.Repeat("[", 30)+strings.Repeat("]", 30)), "nested deeper"},
		{"tokenizer size lies", sub(`\"vocab_size\":3,\"bos\":1`, `\"vocab_size\":4,\"bos\":1`), "metadata tokenizer"},
		{"tokenizer bos lies", sub(`\"bos\":1,\"eos\":2,\"add_bos\":true`, `\"bos\":2,\"eos\":2,\"add_bos\":true`), "metadata tokenizer"},
		{"metadata shape of a tensor", sub(q+`\":{\"shape\":[4,4]`, q+`\":{\"shape\":[4,5]`), "metadata shape"},
		{"metadata shape missing", sub(q+`\":{\"shape\":[4,4],`, q+`\":{`), "metadata shape"},
		{"metadata shape of 5 numbers", sub(q+`\":{\"shape\":[4,4]`, q+`\":{\"shape\":[4,4,1,1,1]`), "more than 4"},
		{"metadata tensor key", sub(q+`\":{\"shape\"`, q+`\":{\"form\"`), "alone"},
		{"metadata tensor unknown", sub(`\"`+q+`\":{\"shape`, `\"x\":{\"shape`), "metadata shape"},
		{"metadata tensor too many", sub(`\"`+q+`\":{\"shape`, `\"x\":{},\"`+q+`\":{\"shape`), "more tensors"},
		{"checksum cut", func(h string) string { at := strings.Index(h, sumKey) + len(sumKey); return h[:at] + h[at+1:] }, "64 hexadecimal"},
		{"checksum in capitals", func(h string) string { at := strings.Index(h, sumKey) + len(sumKey); return h[:at] + "A" + h[at+1:] }, "64 hexadecimal"},
		{"checksum of others", func(h string) string {
			at := strings.Index(h, sumKey) + len(sumKey)
			return h[:at] + strings.Repeat("0", 64) + h[at+64:]
		}, "SHA-256 is"},
		{"dtype of a tensor", sub(entry(q), strings.Replace(entry(q), `"U8"`, `"I8"`, 1)), "want U8"},
		{"dtype unknown", sub(entry(q), strings.Replace(entry(q), `"U8"`, `"F8_E4M3"`, 1)), "want U8"},
		{"dtype number", sub(entry(q), strings.Replace(entry(q), `"U8"`, `8`, 1)), "want a string"},
		{"dtype missing", sub(entry(q), strings.Replace(entry(q), `"dtype":"U8",`, ``, 1)), "want dtype"},
		{"dtype twice", sub(entry(q), strings.Replace(entry(q), `"dtype":"U8",`, `"dtype":"U8","dtype":"U8",`, 1)), "twice"},
		{"extra field", sub(entry(q), strings.Replace(entry(q), `"dtype"`, `"x":1,"dtype"`, 1)), "alone"},
		{"tensor missing", sub(entry(q)+",", ""), "tensors, want"},
		{"tensor renamed", sub(`"`+q+`":{`, `"other":{`), "missing"},
		{"tensor too many", sub(entry(q), entry(q)+`,"other":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`), "belongs to no such model"},
		{"tensor null", sub(entry(q), `"`+q+`":null`), "want {"},
		{"tensor string", sub(entry(q), `"`+q+`":"x"`), "want {"},
		{"two tokenizers", sub(`"tokenizer.model":{`, `"tokenizer.json":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"tokenizer.model":{`), ""},
		{"tokenizer of another kind", sub(`"tokenizer.model":{`, `"tokenizer.json":{`), ""},
		{"tokenizer renamed", sub(`"tokenizer.model":{`, `"tokenizer.bin":{`), "belongs to no such model"},
		{"tokenizer empty", shape("tokenizer.model", "[0]"), "want 1 to"},
		{"tokenizer huge", shape("tokenizer.model", "[9223372036854775807]"), "want 1 to"},
		{"tokenizer of two dims", shape("tokenizer.model", "[1,1]"), "want 1 to"},
		{"tokenizer of no dims", shape("tokenizer.model", "[]"), "want 1 to"},
		{"many tensors", sub(entry(q), entry(q)+manyKeys(maxTensors, `,"t%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`)), "more than 65536"},
		{"offsets swapped", swap(t, header, entry("model.layers.0.self_attn.k_proj.weight"), entry("model.layers.0.self_attn.v_proj.weight")), "data at"},
	}
	for _, s := range []string{
		`[]`, `[4]`, `[4,33]`, `[4,32,1]`, `[0,32]`, `[32,4]`, `[4,32,1,1,1]`, `[-4,32]`, `[4.0,32]`, `[4e0,32]`, `["4",32]`, `[null,32]`,
		`[4,[32]]`, `{}`, `null`, `4`, `[2147483648,4294967296]`, `[4294967297,32]`, `[9223372036854775807,2]`, `[9223372036854775808,32]`,
		`[18446744073709551615,32]`, `[18446744073709551620,32]`, `[1e308,32]`, `[1` + strings.Repeat("0", 5000) + `,32]`,
	} {
		edits = append(edits, edit{"shape " + s, shape(q, s), ""})
	}
	for _, s := range []string{
		`[]`, `[0]`, `[0,0]`, `[0,128]`, `[128,0]`, `[0,0,0]`, `[-1,127]`, `[0,9223372036854775807]`, `[0,18446744073709551615]`,
		`[9223372036854775807,9223372036854775807]`, `[18446744073709551488,18446744073709551615]`, `[0.5,128.5]`, `["0","128"]`, `null`, `{}`, `[1,129]`,
	} {
		edits = append(edits, edit{"offsets " + s, offsets(q, s), ""})
	}
	bad := []string{`0`, `-1`, `3`, `2147483648`, `4294967297`, `9223372036854775807`, `18446744073709551616`, `1e308`, `1.5`, `null`, `[]`, `\"4\"`, `true`}
	for _, key := range []string{"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
		"head_dim", "vocab_size", "max_position_embeddings", "rms_norm_eps", "rope_theta", "weight_bits", "activation_bits", "kv_bits",
		"query_bits", "lm_head_bits", "lm_head_activation_bits"} {
		for _, v := range bad {
			if key == "vocab_size" && v == "3" || key == "max_position_embeddings" && (v == "3" || v == "2147483648") {
				continue // 3 is right, or as good as any
			}
			if key == "rms_norm_eps" && v == "0" || key == "rope_theta" && (v == "3" || v[0] >= '1' && v[0] <= '9' && v != "1e308") {
				continue // values that a model may have
			}
			edits = append(edits, edit{key + " " + v, setNumber(key, v), ""})
		}
	}
	for _, v := range []string{`\"\"`, `\"heads\"`, `4`, `null`, `\"token\"`} { // the last one contradicts key_quantized
		edits = append(edits, edit{"kv_scheme " + v, sub(`\"kv_scheme\":\"head-zp\"`, `\"kv_scheme\":`+v), ""})
		edits = append(edits, edit{"float " + v, sub(`\"float\":\"float16\"`, `\"float\":`+v), ""})
	}
	for _, e := range edits {
		t.Run(strings.Map(printable, e.name), func(t *testing.T) {
			text := e.do(header)
			if text == header {
				t.Fatal("the edit changed nothing")
			}
			err := check(t, seal(text, data))
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), e.want) {
				t.Errorf("error %q, want %q in it", err, e.want)
			}
		})
	}
	t.Logf("%d malformed files", len(edits))
}

// TestHeaderBytes is about files whose first bytes are wrong.
func TestHeaderBytes(t *testing.T) {
	file := smallFile(t)
	n := binary.LittleEndian.Uint64(file)
	for _, v := range []uint64{0, 1, 2, n - 64, n - 1, n + 1, n + 64, uint64(len(file)) - 8, uint64(len(file)), maxHeader, maxHeader + 56,
		1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1 << 62, 1<<63 - 1, 1 << 63, 1<<64 - 8, 1<<64 - 1} {
		b := bytes.Clone(file)
		binary.LittleEndian.PutUint64(b, v)
		if err := check(t, b); err == nil {
			t.Errorf("header length %d accepted", v)
		}
	}
	header, data := cut(file)
	for name, b := range map[string][]byte{
		"empty": {}, "7 bytes": file[:7], "8 bytes": file[:8],
		"zeros":               make([]byte, 4096),
		"a byte more":         append(bytes.Clone(file), 0),
		"64 bytes more":       append(bytes.Clone(file), make([]byte, 64)...),
		"plain safetensors":   seal(`{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, nil),
		"no data":             seal(header, nil),
		"data cut":            seal(header, data[:len(data)-1]),
		"GGUF":                append([]byte("GGUF\x03\x00\x00\x00"), make([]byte, 100)...),
		"data at 8 mod 64":    misaligned(header, data),
		"tabs for padding":    seal(strings.Replace(header, "{", "{\t", 1)+"\x00", data),
		"a header of 20 MiB":  seal(header+strings.Repeat(" ", 20<<20), data),
		"terabytes, in a few": seal(setNumber("vocab_size", "4000000")(setNumber("hidden_size", "1000000")(header)), data),
	} {
		if err := check(t, b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestHugeHeaders checks that what a header claims, or holds in vain, costs little
// memory: at most some copies of itself.
func TestHugeHeaders(t *testing.T) {
	long.Sequential(t)
	header, data := cut(smallFile(t))
	many := func(n int, f string) string { return strings.TrimPrefix(manyKeys(n, f), ",") }
	const empty = `,"t%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`
	for name, edit := range map[string]func(string) string{
		"config":   sub(`"config":"{`, `"config":"{\"x\":\"`+strings.Repeat("a", 15<<20)+`\",`),
		"tensors":  sub(`"tokenizer.model":{`, many(65000, empty)+`,"tokenizer.model":{`),
		"layers":   sub(`"tokenizer.model":{`, many(65500, empty)+`,"tokenizer.model":{`),
		"sums":     sub(`"tensors":"{`, `"tensors":"{`+many(500000, `,\"t%d\":{}`)+`,`),
		"notes":    sub(`{\"source\":\"a test\"}`, `{`+many(1000000, `,\"t%d\":0`)+`}`),
		"keys":     sub(`"tokenizer.model":{`, many(1000000, `,"t%d":0`)+`,"tokenizer.model":{`),
		"a number": sub(`[4,32]`, `[4,`+strings.Repeat("1", 15<<20)+`]`),
	} {
		text := edit(header)
		if name == "layers" {
			text = setNumber("num_hidden_layers", "4096")(text)
		}
		if text == header {
			t.Fatalf("%s: the edit changed nothing", name)
		}
		m := mapped.Memory("bad.qat", seal(text, data))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := read(m)
		runtime.ReadMemStats(&after)
		if !errors.Is(err, format.ErrCorrupt) {
			t.Errorf("%s: error %v, want ErrCorrupt", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 160<<20 { // garbage included
			t.Errorf("%s: %d MiB allocated for a file of %d", name, n>>20, len(m.Bytes())>>20)
		}
	}
}

// damaged returns the file whose every truncation and every bit is tried: the smallest, or in the long form one of 64 KiB.
func damaged(t *testing.T) []byte {
	t.Helper()
	if !long.Run() {
		return smallFile(t)
	}
	h := tinyHeader(t)
	h.Config.NumHiddenLayers, h.Config.IntermediateSize = 2, 360
	path := filepath.Join(t.TempDir(), "m.qat")
	write(t, path, h)
	b, err := os.ReadFile(path)
	if err != nil || len(b) < 64<<10 {
		t.Fatalf("%d bytes (%v), want 64 KiB or more", len(b), err)
	}
	return b
}

func TestEveryTruncation(t *testing.T) {
	long.Sequential(t)
	file := damaged(t)
	for n := range file {
		if err := check(t, file[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are accepted", n, len(file))
		}
	}
	t.Logf("%d lengths", len(file))
}

func TestEveryBit(t *testing.T) {
	long.Sequential(t)
	file := damaged(t)
	header := 8 + int(binary.LittleEndian.Uint64(file))
	for i := range file {
		for bit := range 8 {
			if i >= header && bit != i%8 {
				continue // one bit a byte of the data
			}
			file[i] ^= 1 << bit
			if err := check(t, file); err == nil {
				t.Fatalf("bit %d of byte %d flipped: accepted", bit, i)
			}
			file[i] ^= 1 << bit
		}
	}
	t.Logf("%d bits of the header, and one of each of %d bytes behind it", 8*header, len(file)-header)
}

// TestOpenChecksTheTokenizer: it is parsed, so its checksum does not wait for Verify.
func TestOpenChecksTheTokenizer(t *testing.T) {
	b := smallFile(t)
	b[len(b)-1] ^= 0x10 // the tokenizer is the last tensor
	if _, err := read(mapped.Memory("m.qat", b)); err == nil || !strings.Contains(err.Error(), `"tokenizer.model": SHA-256`) {
		t.Errorf("error %v, want the tokenizer's checksum", err)
	}
}

// TestBadValues writes numbers that no model has under right checksums.
func TestBadValues(t *testing.T) {
	const q, head = "model.layers.0.self_attn.q_proj.weight", "lm_head.weight"
	for _, c := range []struct {
		tensor string
		at     int // byte of the tensor
		b      []byte
		want   string
	}{
		{q + ScaleSuffix, 0, []byte{0, 0, 0xc0, 0x7f}, "NaN"},
		{q + ScaleSuffix, 4, []byte{0, 0, 0x80, 0x7f}, "NaN or infinite"},
		{q + ScaleSuffix, 12, []byte{0, 0, 0x80, 0xff}, "NaN or infinite"},
		{head + ScaleSuffix, 8, []byte{0, 0, 0x80, 0xbf}, "negative"},
		{format.NormName, 12, []byte{1, 0, 0x80, 0x7f}, "NaN"},
		{format.EmbedName, 2, []byte{0, 0x7c}, "infinite"},
		{format.EmbedName, 8, []byte{1}, "padding"},
		{format.EmbedName, 3*128 - 1, []byte{1}, "padding"},
		{head, 0, []byte{0x80}, "-128"},
		{head, 64 + 4, []byte{1}, "padding"},
		{q, 4, []byte{0x78}, "padding"},         // input 4
		{q, 0, []byte{0x78}, "padding"},         // input 32
		{q, 3*32 + 31, []byte{0x89}, "padding"}, // input 31 of the last row
	} {
		b := smallFile(t)
		f, err := read(mapped.Memory("m.qat", b))
		if err != nil {
			t.Fatal(err)
		}
		x, ok := f.Tensor(c.tensor)
		if !ok {
			t.Fatalf("no tensor %q", c.tensor)
		}
		copy(f.Data(x)[c.at:], c.b)
		header, data := cut(b)
		err = check(t, seal(strings.Replace(header, x.SHA256, hexSum(f.Data(x)), 1), data))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.tensor) {
			t.Errorf("%s, byte %d: error %v, want %q and the name", c.tensor, c.at, err, c.want)
		}
	}
}

// Headers with random damage under right checksums, and files with damage anywhere.
func TestMutations(t *testing.T) {
	file := smallFile(t)
	header, data := cut(file)
	damage.Each(t, 3000, 300, [][]byte{[]byte(header), file}, func(b []byte) error {
		if bytes.HasPrefix(b, []byte(header[:1])) {
			b = seal(string(b), data)
		}
		return check(t, b)
	}, format.ErrCorrupt, format.ErrUnsupported)
}

func FuzzOpen(f *testing.F) {
	file := smallFile(f)
	header, data := cut(file)
	f.Add([]byte(header), true)
	f.Add([]byte(`{"__metadata__":{"format":"llmqat","version":"1",`+digestKey+noDigest+`"}}`), true)
	f.Add(file[:128], false)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed {
			b = seal(string(b), data)
		}
		q, err := read(mapped.Memory("bad.qat", b))
		if err != nil {
			if !errors.Is(err, format.ErrCorrupt) && !errors.Is(err, format.ErrUnsupported) {
				t.Errorf("error %q wraps neither ErrCorrupt nor ErrUnsupported", err)
			}
			return
		}
		for _, x := range q.Tensors() { // without Verify's goroutines, whose order is not the input's
			q.verify(context.Background(), x, func(int64) {})
		}
	})
}

func printable(r rune) rune {
	if r < ' ' || r > '~' || r == '/' {
		return '_'
	}
	return r
}

// entryText returns `"name":{...}` of a header.
func entryText(t testing.TB, header, name string) string {
	from := strings.Index(header, `"`+name+`":{"dtype"`)
	if from < 0 {
		t.Fatalf("no entry %q", name)
	}
	return header[from : from+strings.Index(header[from:], "}")+1]
}

func sub(old, with string) func(string) string {
	return func(h string) string { return strings.Replace(h, old, with, 1) }
}

// swap lets two entries change places: their names stay, their offsets go.
func swap(t testing.TB, header, a, b string) func(string) string {
	t.Helper()
	tail := func(e string) string { return e[strings.Index(e, `"data_offsets"`):] }
	return func(h string) string {
		h = strings.Replace(h, a, strings.Replace(a, tail(a), tail(b), 1), 1)
		return strings.Replace(h, b, strings.Replace(b, tail(b), tail(a), 1), 1)
	}
}

// setNumber sets a number of config or quantization.
func setNumber(key, v string) func(string) string {
	return func(h string) string {
		at := strings.Index(h, `\"`+key+`\":`) + len(key) + 5
		n := strings.IndexAny(h[at:], ",}")
		return h[:at] + v + h[at+n:]
	}
}

func manyKeys(n int, f string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, f, i)
	}
	return b.String()
}
