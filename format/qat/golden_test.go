package qat

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/kernels/quant"
)

var update = flag.Bool("update", false, "write testdata/golden.* anew: a change of the format needs a new Version")

// expectedRow is what read_qat.py compares a row with.
type expectedRow struct {
	Tensor string    `json:"tensor"`
	Row    int       `json:"row"`
	Values []float32 `json:"values"`
}

func goldenHeader(t testing.TB) *Header {
	return &Header{
		Config: format.Config{
			HiddenSize: 8, IntermediateSize: 70, NumHiddenLayers: 1, NumAttentionHeads: 2, NumKeyValueHeads: 1,
			HeadDim: 4, VocabSize: 5, MaxPositionEmbeddings: 16, RMSNormEps: 1e-5, RopeTheta: 1e4,
			BOSTokenID: 1, EOSTokenIDs: []int{2},
		},
		Quantization: Quantization{Bits: quant.Bits{W: 4, A: 8, KV: 4}, KVScheme: quant.KVHeadZP,
			Float: Float16, LMHeadBits: 8, Method: "rtn"},
		Provenance: Provenance{Source: "golden", CreatedBy: "golden_test.go"},
		Tokenizer:  smallTokenizer(t),
	}
}

// goldenValue is the number at row r, column c of the file's matrices, as a row's
// integer and scale; floats are their product. All are exact in float16.
func goldenValue(r, c int) (q int8, scale float32) {
	return int8((r*5+c*3)%16 - 8), 0.25 * float32(r+1)
}

// writeGolden writes the golden file and returns what it holds.
func writeGolden(t testing.TB, path string) []expectedRow {
	t.Helper()
	w, err := Create(path, goldenHeader(t))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	put := func(name string, b []byte) {
		t.Helper()
		if err := w.Write(name, b); err != nil {
			t.Fatal(err)
		}
	}
	var list []expectedRow
	for _, x := range w.Tensors() {
		if x.Kind() != Weight {
			continue
		}
		rows, cols := x.True[0], 1
		if len(x.True) == 2 {
			cols = x.True[1]
		}
		e := expectedRow{Tensor: x.Name}
		for r := range rows {
			q := make([]int8, cols)
			row := make([]byte, x.Size/int64(rows))
			var scale float32
			values := make([]float32, cols)
			for c := range q {
				q[c], scale = goldenValue(r, c)
				values[c] = float32(q[c]) * scale
				switch x.DType {
				case "I8":
					row[c] = byte(q[c])
				case "F16":
					binary.LittleEndian.PutUint16(row[2*c:], quant.Float16(values[c]))
				case "F32":
					binary.LittleEndian.PutUint32(row[4*c:], math.Float32bits(values[c]))
				}
			}
			if x.DType == "U8" {
				quant.PackInt4(row, q)
			}
			put(x.Name, row)
			if x.Quantized() {
				put(x.Name+ScaleSuffix, binary.LittleEndian.AppendUint32(nil, math.Float32bits(scale)))
			}
			if len(x.True) == 1 {
				e.Values = append(e.Values, values...)
			} else if r == rows-1 {
				e.Row, e.Values = r, values
			}
		}
		list = append(list, e)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestGolden holds the writer to the committed file, byte for byte.
func TestGolden(t *testing.T) {
	if *update {
		rows := writeGolden(t, "testdata/golden.qat")
		b, err := json.MarshalIndent(rows, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/golden.json", append(b, '\n'), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "golden.qat")
	writeGolden(t, path)
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/golden.qat")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the writer no longer writes testdata/golden.qat: files of version 1 have changed")
	}
	f, err := Open("testdata/golden.qat")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Verify(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := f.Describe(&out); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"head-zp", "hidden_size", "0.25..17.5", "tokenizer.model", "golden_test.go", "after_rope"} {
		if !strings.Contains(out.String(), s) {
			t.Errorf("the description lacks %q:\n%s", s, out.String())
		}
	}
}

// TestPython reads the golden file with another reader: Python's safetensors.
func TestPython(t *testing.T) {
	if out, err := exec.Command("python3", "-c", "import safetensors, numpy").CombinedOutput(); err != nil {
		t.Skipf("python3 with safetensors and numpy: %v: %s", err, out)
	}
	run := func(args ...string) (string, error) {
		out, err := exec.Command("python3", append([]string{"testdata/read_qat.py"}, args...)...).CombinedOutput()
		return string(out), err
	}
	if out, err := run("testdata/golden.qat", "testdata/golden.json"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	b, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "wrong.json")
	if err := os.WriteFile(wrong, bytes.Replace(b, []byte("-2"), []byte("-3"), 1), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := run("testdata/golden.qat", wrong); err == nil {
		t.Errorf("a wrong value passes: %s", out)
	}
}

// TestDocumentation keeps the Python of docs/format.md what read_qat.py runs.
func TestDocumentation(t *testing.T) {
	doc, err := os.ReadFile("../../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/read_qat.py")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(doc, []byte("```python\n"))
	code, _, ok := bytes.Cut(rest, []byte("\n```"))
	_, function, ok2 := bytes.Cut(code, []byte("def dequantize"))
	if !ok || !ok2 {
		t.Fatal("docs/format.md has no Python block with dequantize")
	}
	function, _, _ = bytes.Cut(function, []byte("\n\n\n"))
	if !bytes.Contains(script, function) {
		t.Errorf("read_qat.py does not contain the function of docs/format.md:\n%s", function)
	}
}
