package qat

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels/quant"
)

// tinyConfig is a model whose dimensions are no multiples of 64.
func tinyConfig() format.Config {
	return format.Config{
		HiddenSize: 12, IntermediateSize: 70, NumHiddenLayers: 2, NumAttentionHeads: 3, NumKeyValueHeads: 1,
		HeadDim: 4, VocabSize: 300, MaxPositionEmbeddings: 32, RMSNormEps: 1e-5, RopeTheta: 1e4,
		BOSTokenID: 1, EOSTokenIDs: []int{2},
	}
}

func tinyTokenizer(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	pieces := []tokenizer.Piece{{Text: "<unk>"}, {Text: "<s>"}, {Text: "</s>"}}
	for b := range 256 {
		pieces = append(pieces, tokenizer.Piece{Text: fmt.Sprintf("<0x%02X>", b)})
	}
	tok, err := tokenizer.NewSentencePiece(pieces, tokenizer.Normalizer{DummyPrefix: true},
		tokenizer.Special{BOS: 1, EOS: 2, AddBOS: true})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// smallTokenizer has no tokens but the three that every one has.
func smallTokenizer(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.NewSentencePiece([]tokenizer.Piece{{Text: "<unk>"}, {Text: "<s>"}, {Text: "</s>"}},
		tokenizer.Normalizer{}, tokenizer.Special{BOS: 1, EOS: 2, AddBOS: true})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func tinyHeader(t testing.TB) *Header {
	return &Header{
		Config: tinyConfig(),
		Quantization: Quantization{Bits: quant.Bits{W: 4, A: 8, KV: 4}, KVScheme: quant.KVHeadZP,
			Float: Float16, LMHeadBits: 8, Method: "rtn"},
		Provenance: Provenance{Source: "a test", SourceHash: "sha256:00", CreatedBy: "go test", Notes: map[string]string{"k": "<v>"}},
		Tokenizer:  tinyTokenizer(t),
	}
}

// rows returns valid bytes of a tensor: random within its type, padding zero.
func rows(t Tensor, r *rand.Rand) []byte {
	var b []byte
	if len(t.True) == 1 {
		for range t.True[0] {
			b = append(b, 0, byte(r.IntN(256)), byte(r.IntN(128)), 0x3c) // F32
		}
		return b
	}
	for range t.True[0] {
		q := make([]int8, t.True[1])
		for i := range q {
			q[i] = int8(r.IntN(15) - 7)
		}
		row := make([]byte, t.Size/int64(t.True[0]))
		switch t.DType {
		case "U8":
			quant.PackInt4(row, q)
		case "I8":
			for i, v := range q {
				row[i] = byte(v)
			}
		default:
			n := len(row) / t.Shape[1]
			for i := range q {
				row[i*n+n-1] = byte(0x30 + r.IntN(8))
			}
		}
		b = append(b, row...)
	}
	return b
}

// write makes a file with random weights and returns what each tensor holds.
func write(t testing.TB, path string, h *Header) map[string][]byte {
	t.Helper()
	w, err := Create(path, h)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	all := map[string][]byte{}
	for _, tensor := range w.Tensors() {
		if strings.HasPrefix(tensor.Name, "tokenizer.") {
			continue
		}
		b := rows(tensor, r)
		all[tensor.Name] = b
		half := len(b) / 2
		for _, part := range [][]byte{b[:half], b[half:]} {
			if err := w.Write(tensor.Name, part); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	schemes := []quant.KVScheme{quant.KVToken, quant.KVHead, quant.KVHeadZP}
	n := 0
	for _, bits := range []string{"4-8-4", "4-6-16", "4-4-8", "4-16-16", "8-8-8", "8-16-4", "16-16-16", "16-16-4"} {
		for _, float := range []string{Float16, BFloat16, Float32} {
			for _, head := range []int{8, 16} {
				for _, tied := range []bool{false, true} {
					h := tinyHeader(t)
					b, err := quant.ParseBits(bits)
					if err != nil {
						t.Fatal(err)
					}
					scheme := schemes[n%len(schemes)] // nothing but the header depends on it
					n++
					h.Quantization = Quantization{b, scheme, float, head, "rtn"}
					h.Config.TieWordEmbeddings = tied
					if tied {
						h.ChatTemplate = "{{ bos_token }}\n\"header_sha256\":\"ñ<|x|>" // nothing of which may confuse the header
					}
					t.Run(fmt.Sprintf("%s/%s/%s/head=%d/tied=%v", bits, scheme, float, head, tied), func(t *testing.T) {
						testRoundTrip(t, h)
					})
				}
			}
		}
	}
}

func testRoundTrip(t *testing.T, h *Header) {
	path := filepath.Join(t.TempDir(), "m.qat")
	want := write(t, path, h)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Verify(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	got := *f.Header()
	wantName, wantData := h.Tokenizer.File()
	name, data := got.Tokenizer.File()
	if name != wantName || !bytes.Equal(data, wantData) {
		t.Errorf("tokenizer %s of %d bytes, want %s of %d", name, len(data), wantName, len(wantData))
	}
	a, b := *h, got
	a.Tokenizer, b.Tokenizer = nil, nil
	if d := cmp.Diff(a, b); d != "" {
		t.Errorf("header (-want +got):\n%s", d)
	}
	if n := len(f.Tensors()); n != len(want)+1 || n != h.count()+1 {
		t.Errorf("%d tensors, want %d and the tokenizer; count says %d", n, len(want), h.count())
	}
	end := int64(0)
	for i, tensor := range f.Tensors() {
		if i > 0 && tensor.Offset != end {
			t.Errorf("%s begins at %d, the one before ends at %d", tensor.Name, tensor.Offset, end)
		}
		end = tensor.Offset + tensor.Size
		if a := min(tensor.Size&-tensor.Size, 64); tensor.Offset%a != 0 {
			t.Errorf("%s of %d bytes begins at %d", tensor.Name, tensor.Size, tensor.Offset)
		}
		if data, ok := want[tensor.Name]; ok && !bytes.Equal(f.Data(tensor), data) {
			t.Errorf("%s differs", tensor.Name)
		}
	}
	if end != int64(len(f.Bytes())) {
		t.Errorf("file of %d bytes, the last tensor ends at %d", len(f.Bytes()), end)
	}
	_, head := f.Tensor(format.LMHeadName)
	if want := !h.Config.TieWordEmbeddings || h.Quantization.LMHeadBits == 8; head != want {
		t.Errorf("lm_head present: %v, want %v", head, want)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("%d files, want the model alone: %v", len(left), left)
	}
}
