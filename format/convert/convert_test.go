package convert

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/kernels/quant"
)

// memory is a float model whose numbers follow from their place.
type memory struct {
	config format.Config
	dtypes map[string]format.DType // F32 where it says nothing
	change map[string]map[int]float32
}

func (m *memory) Config() *format.Config          { return &m.config }
func (m *memory) ChatTemplate() string            { return "{{ of the model }}" }
func (m *memory) Tokenizer() *tokenizer.Tokenizer { return nil }
func (m *memory) Close() error                    { return nil }

func (m *memory) DType(name string) format.DType {
	if d, ok := m.dtypes[name]; ok {
		return d
	}
	return format.F32
}

func (m *memory) value(name string, i int) float32 {
	if v, ok := m.change[name][i]; ok {
		return v
	}
	n := newNoise(uint64(i), name)
	return float32(int64(n.next())>>40) / (1 << 23)
}

func (m *memory) ReadRows(dst []float32, name string, first int) error {
	for _, s := range m.config.Tensors() {
		if s.Name == name {
			for i := range dst {
				dst[i] = m.value(name, first*s.In+i)
			}
			return nil
		}
	}
	return fmt.Errorf("no tensor %q", name)
}

func tiny() *memory {
	return &memory{config: format.Config{
		HiddenSize: 36, IntermediateSize: 70, NumHiddenLayers: 2, NumAttentionHeads: 3, NumKeyValueHeads: 1,
		HeadDim: 12, VocabSize: 300, MaxPositionEmbeddings: 32, RMSNormEps: 1e-5, RopeTheta: 1e4,
		BOSTokenID: 1, EOSTokenIDs: []int{2},
	}}
}

// all makes every matrix of m of one type.
func (m *memory) all(d format.DType) *memory {
	m.dtypes = map[string]format.DType{}
	for _, s := range m.config.Tensors() {
		if s.In > 0 {
			m.dtypes[s.Name] = d
		}
	}
	return m
}

func bits(t testing.TB, s string) quant.Bits {
	t.Helper()
	b, err := quant.ParseBits(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t testing.TB, path string) *qat.File {
	t.Helper()
	f, err := qat.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Verify(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	return f
}

// stored returns the number that f holds at row r, column c of a tensor.
func stored(t testing.TB, f *qat.File, name string, r, c int) float32 {
	t.Helper()
	x, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("no tensor %q", name)
	}
	rows, _ := dims(x)
	b := f.Data(x)[r*int(x.Size)/rows:]
	scale := func() float32 {
		s, ok := f.Tensor(name + qat.ScaleSuffix)
		if !ok {
			t.Fatalf("no scales of %q", name)
		}
		return math.Float32frombits(binary.LittleEndian.Uint32(f.Data(s)[4*r:]))
	}
	switch x.DType {
	case "U8":
		q := make([]int8, c+1)
		quant.UnpackInt4(q, b)
		return float32(q[c]) * scale()
	case "I8":
		return float32(int8(b[c])) * scale()
	case "F16":
		return quant.Float16To32(binary.LittleEndian.Uint16(b[2*c:]))
	case "BF16":
		return quant.BFloat16To32(binary.LittleEndian.Uint16(b[2*c:]))
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(b[4*c:]))
}

func TestQuantize(t *testing.T) {
	for _, c := range []struct {
		o     Options
		tied  bool
		dtype format.DType
		want  qat.Quantization
	}{
		{Options{Bits: bits(t, "4-8-4")}, false, format.F32, qat.Quantization{Float: "float16", LMHeadBits: 8}},
		{Options{Bits: bits(t, "4-8-4"), LMHeadBits: 16, Chat: "{{ given }}"}, true, format.F32, qat.Quantization{Float: "float16", LMHeadBits: 16}},
		{Options{Bits: bits(t, "4-6-8"), KVScheme: quant.KVToken}, true, format.BF16, qat.Quantization{Float: "float16", LMHeadBits: 8}},
		{Options{Bits: bits(t, "8-8-8"), Float: "bfloat16"}, false, format.F16, qat.Quantization{Float: "bfloat16", LMHeadBits: 8}},
		{Options{Bits: bits(t, "16-16-16")}, false, format.F32, qat.Quantization{Float: "float32", LMHeadBits: 16}},
		{Options{Bits: bits(t, "16-16-16")}, false, format.F16, qat.Quantization{Float: "float16", LMHeadBits: 16}},
		{Options{Bits: bits(t, "16-16-4")}, true, format.BF16, qat.Quantization{Float: "bfloat16", LMHeadBits: 16}},
		{Options{Bits: bits(t, "16-16-16")}, true, format.Q8, qat.Quantization{Float: "float16", LMHeadBits: 16}},
		{Options{Bits: bits(t, "16-16-16"), LMHeadBits: 8}, true, format.Q4, qat.Quantization{Float: "float16", LMHeadBits: 8}},
	} {
		t.Run(fmt.Sprintf("%v/%s/tied=%v/head=%d", c.o.Bits, c.dtype, c.tied, c.o.LMHeadBits), func(t *testing.T) {
			src := tiny().all(c.dtype)
			src.config.TieWordEmbeddings = c.tied
			testQuantize(t, src, c.o, c.want)
		})
	}
}

func testQuantize(t *testing.T, src *memory, o Options, want qat.Quantization) {
	var last, total atomic.Int64
	o.Progress = func(d, n int64) {
		total.Store(n)
		for old := last.Load(); d > old && !last.CompareAndSwap(old, d); old = last.Load() {
		}
	}
	path := filepath.Join(t.TempDir(), "m.qat")
	if err := Quantize(context.Background(), src, path, o); err != nil {
		t.Fatal(err)
	}
	f := open(t, path)
	want.Bits, want.Method, want.KVScheme = o.Bits, "rtn", o.KVScheme
	if want.KVScheme == "" {
		want.KVScheme = quant.KVHeadZP
	}
	if got := f.Header().Quantization; got != want {
		t.Errorf("quantization %+v, want %+v", got, want)
	}
	chat := o.Chat
	if chat == "" {
		chat = "{{ of the model }}"
	}
	if got := f.Header().ChatTemplate; got != chat {
		t.Errorf("chat template %q, want %q", got, chat)
	}
	if h := f.Header().Provenance.SourceHash; h != "" {
		t.Errorf("source hash %q of a model that lies in no file", h)
	}
	if last.Load() != total.Load() || total.Load() < src.config.Parameters() {
		t.Errorf("progress ends at %d of %d", last.Load(), total.Load())
	}
	for _, x := range f.Tensors() {
		if x.Kind() != qat.Weight {
			continue
		}
		rows, cols := dims(x)
		name := sourceName(src, x.Name)
		for r := range rows {
			row := make([]float32, cols)
			for c := range row {
				row[c] = src.value(name, r*cols+c)
			}
			// Half a step of the format: of the row's maximum for integers, of the number for floats.
			m := quant.AbsMax(row)
			for c, v := range row {
				tol := 0.0
				switch x.DType {
				case "U8":
					tol = float64(m) / 7 * 0.5000001
				case "I8":
					tol = float64(m) / 127 * 0.50001
				case "F16":
					tol = max(math.Abs(float64(v))/2048, 1.0/(1<<25))
				case "BF16":
					tol = math.Abs(float64(v)) / 256
				}
				if got := stored(t, f, x.Name, r, c); math.Abs(float64(got-v)) > tol {
					t.Fatalf("%s[%d,%d] is %v, want %v within %v", x.Name, r, c, got, v, tol)
				}
			}
		}
	}
}

// TestQuantizeRow compares with numbers worked out by hand: max 7 makes the scale 1.
func TestQuantizeRow(t *testing.T) {
	src := tiny()
	const name = "model.layers.1.mlp.up_proj.weight"
	row := map[int]float32{}
	for c := range 36 {
		row[3*36+c] = 0
	}
	for c, v := range []float32{7, -7, 0.5, 1.5, 2.5, -0.5, -3.49, 6.5} {
		row[3*36+c] = v
	}
	src.change = map[string]map[int]float32{name: row}
	path := filepath.Join(t.TempDir(), "m.qat")
	if err := Quantize(context.Background(), src, path, Options{Bits: bits(t, "4-8-4")}); err != nil {
		t.Fatal(err)
	}
	f := open(t, path)
	for c, want := range []float32{7, -7, 0, 2, 2, 0, -3, 6, 0} {
		if got := stored(t, f, name, 3, c); got != want {
			t.Errorf("column %d is %v, want %v", c, got, want)
		}
	}
}

// Scales that a method found are stored, and the weights rounded to all of the range.
func TestQuantizeByGivenScales(t *testing.T) {
	src := tiny()
	const name = "model.layers.1.mlp.up_proj.weight"
	path := filepath.Join(t.TempDir(), "m.qat")
	scales := make([]float32, 70)
	for i := range scales {
		scales[i] = 0.03
	}
	o := Options{Bits: bits(t, "4-8-4"), Seed: 5, Trained: Trained{Method: "qat", SourceHash: "sha256:ab", Steps: 7, Tokens: 8,
		Scales: func(tensor string) []float32 {
			if tensor == name {
				return scales
			}
			return nil
		}}}
	if err := Quantize(context.Background(), src, path, o); err != nil {
		t.Fatal(err)
	}
	f := open(t, path)
	least := 0.0
	for r := range 70 {
		for c := range 36 {
			want := float64(src.value(name, r*36+c)) / float64(scales[r])
			want = min(max(math.RoundToEven(want), -8), 7)
			least = min(least, want)
			if got := float64(stored(t, f, name, r, c)) / float64(scales[r]); math.Abs(got-want) > 1e-5 {
				t.Fatalf("row %d, column %d is %v steps, want %v", r, c, got, want)
			}
		}
	}
	p := f.Header().Provenance
	if least != -8 || f.Header().Quantization.Method != "qat" || p.SourceHash != "sha256:ab" || p.Steps != 7 || p.Tokens != 8 || p.Seed != 5 {
		t.Errorf("least %v, method %s, provenance %+v", least, f.Header().Quantization.Method, p)
	}
	scales = scales[:5]
	if err := Quantize(context.Background(), src, path, o); err == nil || !strings.Contains(err.Error(), "5 scales for 70 rows") {
		t.Errorf("5 scales for 70 rows: %v", err)
	}
}

// TestEncodePads gives the encoder memory that was used before.
func TestEncodePads(t *testing.T) {
	for dtype, size := range map[string]int{"I8": 64, "F16": 128, "F32": 256} {
		dst := bytes.Repeat([]byte{0xff}, size)
		e := newEncoder(qat.Tensor{DType: dtype, True: []int{1, 3}})
		if err := e.row(dst, make([]byte, 4), []float32{1, 2, 3}); err != nil {
			t.Fatal(err)
		}
		if used := 3 * size / 64; bytes.Count(dst[used:], []byte{0}) != size-used {
			t.Errorf("%s: padding is %v, want zeros", dtype, dst[used:])
		}
	}
}

func TestQuantizeRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	const down = "model.layers.0.mlp.down_proj.weight"
	for _, c := range []struct {
		name   string
		tensor string
		value  float32
		o      Options
		dtype  format.DType
		want   []string
	}{
		{"NaN, int4", down, nan, Options{Bits: bits(t, "4-8-4")}, format.F32, []string{down, "NaN", "row 2", "input 5"}},
		{"Inf, int8", down, inf, Options{Bits: bits(t, "8-8-8")}, format.F32, []string{down, "-Inf"}},
		{"NaN, float16", down, nan, Options{Bits: bits(t, "16-16-16")}, format.F16, []string{down, "NaN"}},
		{"NaN, norm", format.NormName, nan, Options{Bits: bits(t, "4-8-4")}, format.F32, []string{format.NormName, "NaN"}},
		{"NaN, tied head", format.EmbedName, nan, Options{Bits: bits(t, "4-8-4")}, format.F32, []string{"NaN"}},
		{"70000, float16", down, 70000, Options{Bits: bits(t, "16-16-16"), Float: "float16"}, format.BF16, []string{down, "70000", "--float bf16"}},
		{"70000, embedding", format.EmbedName, -70000, Options{Bits: bits(t, "4-8-4"), Float: "float16"}, format.BF16, []string{format.EmbedName, "-70000", "--float bf16"}},
		{"max, bfloat16", down, math.MaxFloat32, Options{Bits: bits(t, "16-16-16"), Float: "bfloat16"}, format.F32, []string{down, "--float f32"}},
		{"3 bits", down, 0, Options{Bits: quant.Bits{W: 3, A: 8, KV: 4}}, format.F32, []string{"3 bits"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := tiny().all(c.dtype)
			src.config.TieWordEmbeddings = true
			src.change = map[string]map[int]float32{c.tensor: {2*70 + 5: c.value}}
			if c.tensor == format.NormName {
				src.change[c.tensor] = map[int]float32{5: c.value}
			}
			dir := t.TempDir()
			path := filepath.Join(dir, "m.qat")
			err := Quantize(context.Background(), src, path, c.o)
			if err == nil {
				t.Fatal("no error")
			}
			for _, s := range c.want {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error %q, want %q in it", err, s)
				}
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestFloatChosen checks that bfloat16 is taken where float16 is too narrow.
func TestFloatChosen(t *testing.T) {
	for _, c := range []struct {
		tensor string
		head   int
		want   string
	}{
		{format.EmbedName, 8, qat.BFloat16},
		{format.LMHeadName, 16, qat.BFloat16},
		{format.LMHeadName, 8, qat.Float16},
		{"model.layers.0.mlp.up_proj.weight", 8, qat.Float16},
	} {
		src := tiny().all(format.BF16)
		src.change = map[string]map[int]float32{c.tensor: {40: 1e5}}
		path := filepath.Join(t.TempDir(), "m.qat")
		if err := Quantize(context.Background(), src, path, Options{Bits: bits(t, "4-8-4"), LMHeadBits: c.head}); err != nil {
			t.Fatal(err)
		}
		if got := open(t, path).Header().Quantization.Float; got != c.want {
			t.Errorf("1e5 in %s: float type %s, want %s", c.tensor, got, c.want)
		}
	}
	mixed := tiny().all(format.BF16)
	mixed.dtypes[format.EmbedName] = format.F16
	if got := ownFloat(mixed); got != qat.Float32 {
		t.Errorf("bfloat16 beside float16: %s, want float32, which holds both", got)
	}
}

func TestCancel(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	o := Options{Bits: bits(t, "4-8-4"), Progress: func(int64, int64) { cancel() }}
	if err := Quantize(ctx, tiny(), filepath.Join(dir, "m.qat"), o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	o.Progress = func(int64, int64) { cancel() }
	if err := Synth(ctx, tiny().config, filepath.Join(dir, "m.qat"), o); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// onDisk is a model that lies in files of size bytes.
type onDisk struct {
	*memory
	files []string
	size  int
	err   error // of Hash
}

func (d onDisk) Files() []string { return d.files }
func (d onDisk) Size() int64     { return int64(d.size) }

func (d onDisk) Hash(ctx context.Context, step func(n int)) (string, error) {
	for left := d.size; left > 0 && d.err == nil; left -= 7 {
		step(min(left, 7))
	}
	return "sha256:" + strings.Repeat("feed", 16), d.err
}

func TestQuantizeHashes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.qat")
	var most, total atomic.Int64
	o := Options{Bits: bits(t, "4-8-4"), Progress: func(d, n int64) {
		total.Store(n)
		for old := most.Load(); d > old && !most.CompareAndSwap(old, d); old = most.Load() {
		}
	}}
	src := onDisk{tiny(), []string{path + "x"}, 100_000, nil}
	if err := Quantize(context.Background(), src, path, o); err != nil {
		t.Fatal(err)
	}
	if h, want := open(t, path).Header().Provenance.SourceHash, "sha256:"+strings.Repeat("feed", 16); h != want {
		t.Errorf("source hash %q, want %q", h, want)
	}
	if most.Load() != total.Load() || total.Load() < src.config.Parameters()+100_000/8 {
		t.Errorf("progress %d of %d: want to the end, and hashing to count", most.Load(), total.Load())
	}
	before, _ := os.ReadFile(path)
	src.err = errors.New("disk fails")
	if err := Quantize(context.Background(), src, path, o); !errors.Is(err, src.err) {
		t.Errorf("error %v, want %v", err, src.err)
	}
	// The model itself as the output, by another name.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Link(path, link); err != nil {
		t.Fatal(err)
	}
	src = onDisk{tiny(), []string{path}, 1, nil}
	if err := Quantize(context.Background(), src, link, o); err == nil || !strings.Contains(err.Error(), link) {
		t.Errorf("error %v, want one that names %s", err, link)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a refused conversion changed the file")
	}
}

func TestShapes(t *testing.T) {
	// Parameters as the models' cards and files have them.
	for name, want := range map[string]int64{
		"stories260k": 260032, "tinyllama-1.1b": 1100048384, "llama-7b": 6738415616, "llama2-7b": 6738415616, "llama-13b": 13015864320,
		"llama-30b": 32528943616, "llama-65b": 65285660672, "llama2-13b": 13015864320, "llama2-70b": 68976648192, "llama3-8b": 8030261248, "llama3-70b": 70553706496,
		"llama3.1-8b": 8030261248, "llama3.1-70b": 70553706496, "llama3.2-1b": 1235814400, "llama3.2-3b": 3212749824,
		"stories3m": 3148224, "stories15m": 15191712, "stories110m": 109529856,
	} {
		c, err := Shape(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if n := c.Parameters(); n != want {
			t.Errorf("%s has %d parameters, want %d", name, n, want)
		}
	}
	if n := len(Shapes()); n != 18 {
		t.Errorf("%d shapes, the test knows 18", n)
	}
	if _, err := Shape("llama-8b"); err == nil || !strings.Contains(err.Error(), "llama3-8b") {
		t.Errorf("unknown shape: %v, want the list", err)
	}
}

func TestSynth(t *testing.T) {
	for _, c := range []struct{ shape, bits, float string }{
		{"stories260k", "4-8-4", ""}, {"stories260k", "8-8-8", "bfloat16"},
		{"stories260k", "16-16-16", "float32"}, {"stories260k", "16-16-4", ""},
	} {
		t.Run(c.bits, func(t *testing.T) {
			config, err := Shape(c.shape)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			file := func(name string, seed uint64) []byte {
				path := filepath.Join(dir, name)
				if err := Synth(context.Background(), config, path, Options{Bits: bits(t, c.bits), Float: c.float, Seed: seed}); err != nil {
					t.Fatal(err)
				}
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			a := file("a", 7)
			if !bytes.Equal(a, file("b", 7)) {
				t.Error("the same seed gives another file")
			}
			if bytes.Equal(a, file("c", 8)) {
				t.Error("another seed gives the same file")
			}
			f := open(t, filepath.Join(dir, "a"))
			for _, x := range f.Tensors() {
				if x.Kind() == qat.Weight {
					testSpread(t, f, x)
				}
			}
		})
	}
}

// testSpread checks mean and standard deviation. A float's is that of the power of
// two next to what is wanted: within √2. Else n weights in rows whose scales vary
// give the mean square within a few per cent.
func testSpread(t *testing.T, f *qat.File, x qat.Tensor) {
	rows, cols := dims(x)
	var sum, squares float64
	for r := range rows {
		for c := range cols {
			v := float64(stored(t, f, x.Name, r, c))
			sum, squares = sum+v, squares+v*v
		}
	}
	n := float64(rows * cols)
	want := 1.0
	if len(x.True) == 2 {
		want = spread(&f.Header().Config, x)
		if mean := sum / n; math.Abs(mean) > 5*want/math.Sqrt(n) { // 5 standard errors
			t.Errorf("%s has the mean %v, want 0", x.Name, mean)
		}
	}
	if ratio := math.Sqrt(squares/n) / want; ratio < 0.68 || ratio > 1.48 || x.Quantized() && math.Abs(ratio-1) > 0.08 {
		t.Errorf("%s spreads by %v of what is wanted", x.Name, ratio)
	}
}

func TestFillersCoverTheirRange(t *testing.T) {
	b := make([]byte, 1<<20)
	var seen [256]int
	n := newNoise(1, "x")
	fill, _ := filler("U8", 1)
	fill(b, n)
	for _, v := range b {
		seen[v&15]++
		seen[v>>4]++
	}
	for q, n := range seen[:16] { // n = 2^21/16, 2^21/8 for q+8 = 8: within 5 standard deviations
		want := map[bool]float64{true: 1 << 18, false: 1 << 17}[q == 8]
		if q == 0 {
			want = 0
		}
		if math.Abs(float64(n)-want) > 5*math.Sqrt(want) {
			t.Errorf("nibble %d comes %d times, want about %v", q, n, want)
		}
	}
	clear(seen[:])
	fill, _ = filler("I8", 1)
	fill(b, n)
	for _, v := range b {
		seen[v]++
	}
	for v, n := range seen {
		want := map[bool]float64{true: 1 << 13, false: 1 << 12}[v == 0]
		if v == 0x80 {
			want = 0
		}
		if math.Abs(float64(n)-want) > 5*math.Sqrt(want) {
			t.Errorf("byte %#x comes %d times, want about %v", v, n, want)
		}
	}
}

func TestSynthTokenizer(t *testing.T) {
	for _, shape := range []string{"stories260k", "tinyllama-1.1b", "llama3-8b"} {
		c, err := Shape(shape)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := synthTokenizer(&c)
		if err != nil {
			t.Fatal(err)
		}
		if tok.VocabSize() != c.VocabSize || int(tok.BOS()) != c.BOSTokenID || int(tok.EOS()) != c.EOSTokenIDs[0] || !tok.AddBOS() {
			t.Errorf("%s: %d tokens, BOS %d, EOS %d", shape, tok.VocabSize(), tok.BOS(), tok.EOS())
		}
		seen := map[string]bool{}
		for id := range c.VocabSize {
			if s := tok.Token(int32(id)); seen[s] || s == "" {
				t.Fatalf("%s: token %d is %q, empty or there before", shape, id, s)
			} else {
				seen[s] = true
			}
		}
		const text = "The cat, naïve; 日本語 \x00\n\t end"
		ids := tok.Encode(text)
		if got := tok.Decode(ids); got != text {
			t.Errorf("%s: %q comes back as %q", shape, text, got)
		}
		if c.VocabSize > 30000 {
			if n := len(tok.Encode("once upon a time there was a little girl")); n > 20 {
				t.Errorf("%s: 40 letters are %d tokens, want 20 at most", shape, n)
			}
		}
	}
	c := tiny().config
	c.VocabSize = 200
	if _, err := synthTokenizer(&c); !errors.Is(err, format.ErrUnsupported) {
		t.Errorf("200 tokens: %v, want ErrUnsupported", err)
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, dtype := range []string{"U8", "I8", "F16", "F32"} {
		b.Run("dtype="+dtype+"/in=4096", func(b *testing.B) {
			w := make([]float32, 4096)
			n := newNoise(1, "x")
			for i := range w {
				w[i] = float32(int64(n.next())>>40) / (1 << 23)
			}
			e := newEncoder(qat.Tensor{DType: dtype, True: []int{1, 4096}})
			dst, scale := make([]byte, 4*4096), make([]byte, 4)
			if dtype == "U8" {
				dst = dst[:2048]
			}
			b.SetBytes(4 * 4096)
			for b.Loop() {
				if err := e.row(dst, scale, w); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A file of floats is a model like any other: what is made of it is what is made of
// its source.
func TestFloatFileIsASource(t *testing.T) {
	for _, float := range []string{qat.Float32, qat.Float16, qat.BFloat16} {
		src := tiny().all(map[string]format.DType{qat.Float32: format.F32, qat.Float16: format.F16, qat.BFloat16: format.BF16}[float])
		dir := t.TempDir()
		floats, direct, through := filepath.Join(dir, "f.qat"), filepath.Join(dir, "a.qat"), filepath.Join(dir, "b.qat")
		ctx := context.Background()
		if err := Quantize(ctx, src, floats, Options{Bits: bits(t, "16-16-16"), Float: float}); err != nil {
			t.Fatal(err)
		}
		again, err := qat.OpenFloat(floats)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if err := Quantize(ctx, again, through, Options{Bits: bits(t, "16-16-16"), Float: float}); err != nil {
			t.Fatal(err)
		}
		a, b := open(t, floats), open(t, through)
		for _, x := range a.Tensors() {
			y, ok := b.Tensor(x.Name)
			if !ok || !bytes.Equal(a.Data(x), b.Data(y)) {
				t.Errorf("%s: %s differs", float, x.Name)
			}
		}
		if again.DType(format.EmbedName) != src.DType(format.EmbedName) || b.Header().Provenance.SourceHash != a.SourceHash() {
			t.Errorf("%s: type %s, hash %q", float, again.DType(format.EmbedName), b.Header().Provenance.SourceHash)
		}
		if err := again.ReadRows(make([]float32, 36), "none", 0); err == nil {
			t.Error("a tensor that there is not was read")
		}
		if err := again.ReadRows(make([]float32, 72), format.EmbedName, 299); err == nil {
			t.Error("a row behind the last was read")
		}
		if err := Quantize(ctx, src, direct, Options{Bits: bits(t, "4-8-4")}); err != nil {
			t.Fatal(err)
		}
		if _, err := qat.OpenFloat(direct); err == nil || !strings.Contains(err.Error(), "quantized checkpoint, 4-8-4") {
			t.Errorf("a quantized file: %v", err)
		}
	}
}
