package train

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"reflect"
	"strings"

	"github.com/llmqat/llmqat/internal/replace"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/train/nn"
)

// state is where a run is, beside its weights and moments.
type state struct {
	Step      int     `json:"step"`   // steps done
	Tokens    int64   `json:"tokens"` // trained on
	Best      float64 `json:"best"`   // the least KL of an evaluation, where there was one
	HasBest   bool    `json:"has_best"`
	BestStep  int     `json:"best_step"`
	Served    *Served `json:"served,omitempty"` // of that evaluation
	Settled   bool    `json:"settled"`          // what is due after the step, an evaluation above all, is done
	Updates   int     `json:"updates"`          // steps that moved the weights: AdamW's count
	BadInRow  int     `json:"bad_in_row"`
	Rollbacks int     `json:"rollbacks"`
	Lines     int     `json:"lines"` // of the log
}

// A checkpoint is a safetensors file: weights under Hugging Face's names, their
// learned steps with "_step" behind that, and AdamW's moments under "adamw.m." and
// "adamw.v.". __metadata__ holds the run's config, its state and the SHA-256 of the
// bytes behind the header.
type checkpoint struct {
	dev     kernels.TrainDevice
	tensors []saved
}

// saved is a tensor of a checkpoint: some rows of a matrix.
type saved struct {
	name string
	kernels.Floats
}

func newCheckpoint(dev kernels.TrainDevice, o *optimizer) *checkpoint {
	c := &checkpoint{dev: dev}
	for i, p := range o.params {
		parts := p.Tensors
		if p.Of != nil {
			parts = []nn.Part{{Name: p.Of.Tensors[0].Name + "_step", To: 1}}
		}
		for _, t := range parts {
			for _, m := range []saved{{t.Name, p.W}, {"adamw.m." + t.Name, o.m[i]}, {"adamw.v." + t.Name, o.v[i]}} {
				m.Floats = m.Floats.Part(t.From, t.To)
				c.tensors = append(c.tensors, m)
			}
		}
	}
	return c
}

// write calls row with the bytes of every row of every tensor.
func (c *checkpoint) write(row func(b []byte) error) error {
	var host []float32
	var b []byte
	for _, t := range c.tensors {
		for i := range t.Rows {
			if len(host) < t.Cols {
				host = make([]float32, t.Cols)
			}
			kernels.DownloadFloats(c.dev, host, t.Part(i, i+1))
			b = b[:0]
			for _, v := range host[:t.Cols] {
				b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
			}
			if err := row(b); err != nil {
				return err
			}
		}
	}
	return c.dev.Sync()
}

// save writes path, whole or not at all.
func (c *checkpoint) save(path string, config Config, s state) error {
	sum := sha256.New()
	if err := c.write(func(b []byte) error { sum.Write(b); return nil }); err != nil {
		return err
	}
	header, err := c.header(config, s, sum)
	if err != nil {
		return err
	}
	return replace.File(path, func(w io.Writer) error {
		if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))); err != nil {
			return err
		}
		if _, err := w.Write(header); err != nil {
			return err
		}
		return c.write(func(b []byte) error { _, err := w.Write(b); return err })
	})
}

// tensorJSON is a tensor in a safetensors header.
type tensorJSON struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// layout lists the tensors of the header.
func (c *checkpoint) layout() (tensors map[string]tensorJSON, size int64) {
	tensors = map[string]tensorJSON{}
	for _, t := range c.tensors {
		n := int64(t.Rows) * int64(t.Cols) * 4
		tensors[t.name] = tensorJSON{"F32", []int{t.Rows, t.Cols}, [2]int64{size, size + n}}
		size += n
	}
	return tensors, size
}

func (c *checkpoint) header(config Config, s state, sum hash.Hash) ([]byte, error) {
	configJSON, err1 := json.Marshal(config)
	stateJSON, err2 := json.Marshal(s)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	h := map[string]any{"__metadata__": map[string]string{
		"format": "llmqat checkpoint 1", "config": string(configJSON), "state": string(stateJSON), "sha256": hex.EncodeToString(sum.Sum(nil)),
	}}
	tensors, _ := c.layout()
	for name, t := range tensors {
		h[name] = t
	}
	b, err := json.Marshal(h)
	for len(b)%8 != 0 {
		b = append(b, ' ')
	}
	return b, err
}

// ErrCheckpoint means that a file is no checkpoint of this run, or not as it was written.
var ErrCheckpoint = errors.New("not a whole checkpoint of this run")

// maxHeader bounds what is read before anything is known of a file.
const maxHeader = 64 << 20

// load reads path into weights and moments. Where it fails before the checksum is
// known to be right, weights may have changed: read another, or end.
func (c *checkpoint) load(path string, config Config) (state, error) {
	fail := func(format string, a ...any) (state, error) {
		return state{}, fmt.Errorf("%s: %s: %w", path, fmt.Sprintf(format, a...), ErrCheckpoint)
	}
	f, err := os.Open(path)
	if err != nil {
		return state{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return state{}, err
	}
	var length [8]byte
	if _, err := io.ReadFull(f, length[:]); err != nil {
		return fail("%d bytes long", info.Size())
	}
	n := int64(binary.LittleEndian.Uint64(length[:]))
	if n < 2 || n > maxHeader || n > info.Size()-8 {
		return fail("a header of %d bytes in a file of %d", n, info.Size())
	}
	header := make([]byte, n)
	if _, err := io.ReadFull(f, header); err != nil {
		return state{}, fmt.Errorf("%s: %w", path, err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(header, &raw); err != nil {
		return fail("header: %v", err)
	}
	var meta map[string]string
	if err := json.Unmarshal(raw["__metadata__"], &meta); err != nil {
		return fail("metadata: %v", err)
	}
	delete(raw, "__metadata__")
	var had Config
	var s state
	if err := errors.Join(json.Unmarshal([]byte(meta["config"]), &had), json.Unmarshal([]byte(meta["state"]), &s)); err != nil {
		return fail("metadata: %v", err)
	}
	if had != config {
		return fail("made with other settings: %s", differences(had, config))
	}
	want, size := c.layout()
	if len(raw) != len(want) || info.Size() != 8+n+size {
		return fail("%d tensors in %d bytes, want %d in %d", len(raw), info.Size(), len(want), 8+n+size)
	}
	for name, w := range want {
		var got tensorJSON
		if err := json.Unmarshal(raw[name], &got); err != nil || !reflect.DeepEqual(got, w) {
			return fail("tensor %q is %s, want %+v", name, bytes.TrimSpace(raw[name]), w)
		}
	}
	sum := sha256.New()
	if err := c.read(bufio.NewReaderSize(io.TeeReader(f, sum), 1<<20)); err != nil {
		return state{}, fmt.Errorf("%s: %w", path, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != meta["sha256"] {
		return fail("its bytes have the SHA-256 %s, its header says %s", got, meta["sha256"])
	}
	return s, nil
}

// read sets all tensors.
func (c *checkpoint) read(r io.Reader) error {
	for _, t := range c.tensors {
		b, host := make([]byte, 4*t.Cols), make([]float32, t.Cols)
		for i := range t.Rows {
			if _, err := io.ReadFull(r, b); err != nil {
				return err
			}
			for j := range host {
				host[j] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*j:]))
			}
			kernels.UploadFloats(c.dev, t.Part(i, i+1), host)
		}
	}
	return c.dev.Sync()
}

// differences names the fields in which two configs differ.
func differences(had, want Config) string {
	var list []string
	a, b := reflect.ValueOf(had), reflect.ValueOf(want)
	for i := range a.NumField() {
		if x, y := a.Field(i).Interface(), b.Field(i).Interface(); x != y {
			list = append(list, fmt.Sprintf("%s %v, now %v", a.Type().Field(i).Tag.Get("json"), x, y))
		}
	}
	return strings.Join(list, "; ")
}
