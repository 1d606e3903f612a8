package qat

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"github.com/llmqat/llmqat/format/internal/mapped"
)

// Describe prints what is in the file for people to read: config, quantization,
// tokenizer, provenance, and a line for each tensor with the range of its scales.
func (f *File) Describe(out io.Writer) error {
	h := &f.header
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "%s: %d bytes, .qat version %d, %d parameters\n", f.Path(), len(f.Bytes()), Version, h.Config.Parameters())
	section(w, "config", h.Config)
	section(w, "quantization", h.Quantization.json())
	if h.Tokenizer == nil {
		fmt.Fprint(w, "\ntokenizer\n  none\n")
	} else {
		section(w, "tokenizer", describeTokenizer(h.Tokenizer))
	}
	if h.ChatTemplate != "" {
		fmt.Fprintf(w, "\nchat template\n  Jinja of %d bytes\n", len(h.ChatTemplate))
	} else {
		fmt.Fprint(w, "\nchat template\n  none\n")
	}
	section(w, "provenance", h.Provenance)
	fmt.Fprint(w, "\ntensors\n")
	if err := mapped.Guard(f.Path(), func() error { f.table(w); return nil }); err != nil {
		return err
	}
	return w.Flush()
}

// section prints the fields of v under a title, in the order and with the names of its JSON.
func section(w io.Writer, title string, v any) {
	fmt.Fprintf(w, "\n%s\n", title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	d := json.NewDecoder(strings.NewReader(string(mustJSON(v))))
	d.Token() // {
	for d.More() {
		key, _ := d.Token()
		var value json.RawMessage
		d.Decode(&value)
		text := string(value)
		var s string
		if json.Unmarshal(value, &s) == nil && s == strings.ToValidUTF8(s, "") && !strings.ContainsFunc(s, isControl) {
			text = s
		}
		fmt.Fprintf(t, "  %s\t%s\n", key, text)
	}
	t.Flush()
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func (f *File) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "  name\tshape\tstored\tbytes\tscales\tsha256\n")
	types := map[string]int64{}
	var total int64
	for _, x := range f.tensors {
		scales := ""
		if s, ok := f.Tensor(x.Name + ScaleSuffix); ok {
			lo, hi := scaleRange(f.Data(s))
			scales = fmt.Sprintf("%.3g..%.3g", lo, hi)
		}
		fmt.Fprintf(t, "  %s\t%v\t%s%v\t%d\t%s\t%.12s\n", x.Name, x.True, x.DType, x.Shape, x.Size, scales, x.SHA256)
		types[x.DType] += x.Size
		total += x.Size
	}
	fmt.Fprintf(t, "  %d tensors\t\t\t%d\t\t\n", len(f.tensors), total)
	t.Flush()
	fmt.Fprint(w, "\nbytes by type\n")
	for _, d := range []string{"U8", "I8", "F16", "BF16", "F32"} {
		if types[d] > 0 {
			fmt.Fprintf(w, "  %-4s %14d  %5.1f %%\n", d, types[d], 100*float64(types[d])/float64(total))
		}
	}
}

// scaleRange returns the smallest and the largest of float32 scales; NaN if there is one.
func scaleRange(b []byte) (lo, hi float32) {
	lo, hi = float32(math.Inf(1)), float32(math.Inf(-1))
	for ; len(b) >= 4; b = b[4:] {
		s := math.Float32frombits(binary.LittleEndian.Uint32(b))
		lo, hi = min(lo, s), max(hi, s)
	}
	return lo, hi
}
