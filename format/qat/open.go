package qat

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// File is an open .qat file, mapped into memory. Its methods may be called from
// several goroutines, Close when none of them runs.
type File struct {
	mapped  *mapped.File
	header  Header
	tensors []Tensor
	index   map[string]int
}

// Open maps a file and checks all of its header: form, checksum, and every
// tensor's type, shape and place against the model's shape. Tensors' own checksums
// are left to Verify, but for the tokenizer's. What is wrong wraps
// format.ErrCorrupt or format.ErrUnsupported and names the file.
func Open(path string) (*File, error) {
	m, err := mapped.Open(path)
	if err != nil {
		return nil, err
	}
	f, err := read(m)
	if err != nil {
		m.Close()
	}
	return f, err
}

func read(m *mapped.File) (*File, error) {
	f := &File{mapped: m}
	err := mapped.Guard(m.Path, func() error {
		if err := f.parse(m.Bytes()); err != nil {
			return fmt.Errorf("%s: %w", m.Path, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Close gives the mapping back: Bytes must not be used any more.
func (f *File) Close() error { return f.mapped.Close() }

// Path returns the name that the file was opened by.
func (f *File) Path() string { return f.mapped.Path }

// Header returns the file's header, which must not be changed.
func (f *File) Header() *Header { return &f.header }

// Bytes returns the whole file, as mapped: read-only, and valid until Close.
func (f *File) Bytes() []byte { return f.mapped.Bytes() }

// Tensors returns all tensors in the order of the file.
func (f *File) Tensors() []Tensor { return slices.Clone(f.tensors) }

// Tensor returns the named tensor.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.index[name]
	if !ok {
		return Tensor{}, false
	}
	return f.tensors[i], true
}

// Data returns a tensor's bytes within Bytes.
func (f *File) Data(t Tensor) []byte {
	return f.Bytes()[t.Offset : t.Offset+t.Size : t.Offset+t.Size]
}

func (f *File) parse(file []byte) error {
	header, err := cutHeader(file)
	if err != nil {
		return err
	}
	if err := checkDigest(header); err != nil {
		return err
	}
	meta, entries, err := parseHeader(header[8:])
	if err != nil {
		return fmt.Errorf("header: %w: %w", err, format.ErrCorrupt)
	}
	if err := checkVersion(meta); err != nil {
		return err
	}
	if err := f.decode(meta); err != nil {
		return err
	}
	base := int64(len(header))
	if err := f.place(entries, meta["tensors"], int64(len(file))-base); err != nil {
		return err
	}
	for i := range f.tensors {
		f.tensors[i].Offset += base
	}
	if err := f.readTokenizer(meta["tokenizer"]); err != nil {
		return err
	}
	if err := f.header.check(); err != nil { // now with the tokenizer
		return fmt.Errorf("%w: %w", err, format.ErrCorrupt)
	}
	return nil
}

// notQAT is what a user can do about a file of another kind.
const notQAT = "no .qat file: make one of a float model with llmqat quantize"

// cutHeader returns the length and the header at the start of a file. It copies
// them: what another process does to the file cannot change what was checked.
func cutHeader(file []byte) ([]byte, error) {
	if len(file) < 8 {
		return nil, fmt.Errorf("%d bytes, want at least the 8 of a header's length: %s: %w", len(file), notQAT, format.ErrCorrupt)
	}
	n := binary.LittleEndian.Uint64(file)
	switch {
	case n == 0:
		return nil, fmt.Errorf("header length is 0: writing was cut short, or this is no .qat file: %w", format.ErrCorrupt)
	case n > maxHeader:
		return nil, fmt.Errorf("header length is %d, want at most %d: %s: %w", n, maxHeader, notQAT, format.ErrCorrupt)
	case n > uint64(len(file)-8):
		return nil, fmt.Errorf("header length is %d, and %d bytes follow: %w", n, len(file)-8, format.ErrCorrupt)
	case (n+8)%dataAlign != 0:
		return nil, fmt.Errorf("header length is %d: data begin at %d, want a multiple of %d: %s: %w", n, n+8, dataAlign, notQAT, format.ErrCorrupt)
	}
	return bytes.Clone(file[:8+n]), nil
}

// checkDigest compares the header's checksum, before anything in it is believed.
func checkDigest(header []byte) error {
	at := bytes.Index(header, []byte(digestKey)) + len(digestKey)
	if at < len(digestKey) || at+len(noDigest) > len(header) || bytes.Count(header, []byte(digestKey)) != 1 {
		return fmt.Errorf("header has no checksum: %s: %w", notQAT, format.ErrCorrupt)
	}
	sum := sha256.New()
	sum.Write(header[:at])
	sum.Write([]byte(noDigest))
	sum.Write(header[at+len(noDigest):])
	found := header[at : at+len(noDigest)]
	if want := hex.EncodeToString(sum.Sum(nil)); want != string(found) {
		return fmt.Errorf("header's SHA-256 is %s, it says %q: %w", want, found, format.ErrCorrupt)
	}
	return nil
}

func checkVersion(meta map[string]string) error {
	if meta["format"] != formatName {
		return fmt.Errorf("metadata format is %.40q, want %q: %w", meta["format"], formatName, format.ErrCorrupt)
	}
	v, err := strconv.ParseUint(meta["version"], 10, 31)
	if err != nil || v == 0 {
		return fmt.Errorf("metadata version is %.40q, want a number: %w", meta["version"], format.ErrCorrupt)
	}
	if v > Version {
		return fmt.Errorf("version %d, this llmqat reads up to %d: use a newer llmqat: %w", v, Version, format.ErrUnsupported)
	}
	return nil
}

// decode sets the header from the metadata's JSON.
func (f *File) decode(meta map[string]string) error {
	var q quantizationJSON
	h := &f.header
	for _, m := range []struct {
		key    string
		to     any
		strict bool
	}{
		{"config", &h.Config, true},
		{"quantization", &q, true},
		{"provenance", &h.Provenance, false},
	} {
		if err := unmarshal(meta[m.key], m.to, m.strict); err != nil {
			return fmt.Errorf("metadata %s: %w: %w", m.key, err, format.ErrCorrupt)
		}
	}
	h.Quantization = q.quantization()
	h.ChatTemplate = meta["chat_template"]
	if err := h.check(); err != nil {
		return fmt.Errorf("%w: %w", err, format.ErrCorrupt)
	}
	if want := h.Quantization.json(); q != want {
		return fmt.Errorf("metadata quantization is %+v, want %+v, which follows from its bits: %w", q, want, format.ErrCorrupt)
	}
	return nil
}

// place compares the header's tensors with the layout of the model, whose data
// have size bytes, and keeps the latter with the checksums in metadata.
func (f *File) place(entries map[string]entry, metadata string, size int64) error {
	name, length, err := tokenizerEntry(entries, size)
	if err != nil {
		return err
	}
	want := f.header.count()
	if name != "" {
		want++
	}
	if len(entries) < want { // before the layout is built: a short header may claim many layers
		return fmt.Errorf("%d tensors, want %d: %w", len(entries), want, format.ErrCorrupt)
	}
	sums, err := parseSums(metadata, len(entries))
	if err != nil {
		return fmt.Errorf("metadata tensors: %w: %w", err, format.ErrCorrupt)
	}
	var total int64
	f.tensors, total = f.header.layout(name, length)
	f.index = make(map[string]int, len(f.tensors))
	for i := range f.tensors {
		t := &f.tensors[i]
		f.index[t.Name] = i
		if err := t.match(entries, sums); err != nil {
			return fmt.Errorf("tensor %q: %w: %w", t.Name, err, format.ErrCorrupt)
		}
	}
	for name := range entries {
		if _, ok := f.index[name]; !ok {
			return fmt.Errorf("tensor %.80q belongs to no such model: %w", name, format.ErrCorrupt)
		}
	}
	if total != size {
		return fmt.Errorf("%d bytes of data, want %d: %w", size, total, format.ErrCorrupt)
	}
	return nil
}

// tokenizerEntry returns the name and length of the tokenizer, or "" where there is none.
func tokenizerEntry(entries map[string]entry, size int64) (string, int64, error) {
	for _, name := range tokenizerNames {
		if e, ok := entries[name]; ok {
			if most := min(size, tokenizer.MaxFile); len(e.shape) != 1 || e.shape[0] < 1 || e.shape[0] > most {
				return "", 0, fmt.Errorf("tensor %q: shape is %v, want 1 to %d bytes: %w", name, e.shape, most, format.ErrCorrupt)
			}
			return name, e.shape[0], nil
		}
	}
	return "", 0, nil
}

// match says where the header's entry is not t, and takes its checksum.
func (t *Tensor) match(entries map[string]entry, sums map[string]sum) error {
	e, ok := entries[t.Name]
	s := sums[t.Name]
	switch {
	case !ok:
		return errors.New("missing")
	case e.dtype != t.DType || !equal(e.shape, t.Shape):
		return fmt.Errorf("is %.20s%v, want %s%v", e.dtype, e.shape, t.DType, t.Shape)
	case e.begin != t.Offset || e.end != t.Offset+t.Size:
		return fmt.Errorf("data at [%d, %d), want [%d, %d)", e.begin, e.end, t.Offset, t.Offset+t.Size)
	case !equal(s.shape, t.True):
		return fmt.Errorf("metadata shape is %v, want %v", s.shape, t.True)
	case len(s.sha256) != len(noDigest) || strings.Trim(s.sha256, "0123456789abcdef") != "":
		return fmt.Errorf("sha256 is %.80q, want 64 hexadecimal digits", s.sha256)
	}
	t.SHA256 = s.sha256
	return nil
}

func equal(found []int64, want []int) bool {
	return slices.EqualFunc(found, want, func(a int64, b int) bool { return a == int64(b) })
}

// readTokenizer parses the tokenizer within the file from a copy: it outlives the mapping.
func (f *File) readTokenizer(meta string) error {
	var t Tensor
	for _, name := range tokenizerNames {
		if i, ok := f.index[name]; ok {
			t = f.tensors[i]
		}
	}
	if t.Name == "" {
		if meta != "" {
			return fmt.Errorf("metadata tells of a tokenizer, and no tensor holds it: %w", format.ErrCorrupt)
		}
		return nil
	}
	data := bytes.Clone(f.Data(t))
	if sum := hexSum(data); sum != t.SHA256 {
		return fmt.Errorf("tensor %q: SHA-256 is %s, want %s: %w", t.Name, sum, t.SHA256, format.ErrCorrupt)
	}
	tok, err := tokenizer.Parse(t.Name, data)
	if err != nil {
		if errors.Is(err, tokenizer.ErrUnsupported) {
			return fmt.Errorf("%w: %w", err, format.ErrUnsupported)
		}
		return fmt.Errorf("%w: %w", err, format.ErrCorrupt)
	}
	var said tokenizerJSON
	if err := unmarshal(meta, &said, true); err != nil {
		return fmt.Errorf("metadata tokenizer: %w: %w", err, format.ErrCorrupt)
	}
	if found := describeTokenizer(tok); said != found {
		return fmt.Errorf("metadata tokenizer is %+v, the tokenizer itself %+v: %w", said, found, format.ErrCorrupt)
	}
	f.header.Tokenizer = tok
	return nil
}
