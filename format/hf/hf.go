// Package hf reads LLaMA models as Hugging Face stores them: a directory with
// config.json, safetensors files and a tokenizer.
package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nlpodyssey/safetensors"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/internal/mapped"
	"github.com/llmqat/llmqat/format/internal/weights"
)

// Bounds of the small files, in bytes.
const (
	maxConfig          = 1 << 20
	maxTokenizerConfig = 16 << 20
	maxIndex           = 16 << 20
)

const (
	configName = "config.json"
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
)

// Open opens the model in a directory. Its tokenizer is tokenizerPath or, where that is
// "", the directory's tokenizer.model or tokenizer.json with what tokenizer_config.json
// says of BOS and EOS.
func Open(dir, tokenizerPath string) (format.FileSource, error) {
	d := &directory{path: dir}
	m, err := d.open(tokenizerPath)
	if err != nil {
		weights.CloseAll(d.files)
		return nil, err
	}
	return m.Source(), nil
}

// ReadConfig reads a config.json, and beside it generation_config.json where there is one:
// the shape of a model whose weights need not be there.
func ReadConfig(path string) (format.Config, error) {
	if name := filepath.Base(path); name != configName {
		return format.Config{}, fmt.Errorf("%s: want a file named %s", path, configName)
	}
	d := &directory{path: filepath.Dir(path)}
	defer func() { weights.CloseAll(d.files) }()
	return d.config()
}

// directory is a model's directory while it is opened.
type directory struct {
	path        string
	files       []*mapped.File // those read so far
	compression *compression   // nil where all weights are floats
}

func (d *directory) open(tokenizerPath string) (weights.Model, error) {
	m := weights.Model{Path: d.path}
	var err error
	if m.Config, err = d.config(); err != nil {
		return m, err
	}
	found, err := d.tensors()
	if err != nil {
		return m, err
	}
	if m.Tensors, err = match(d.path, &m.Config, found, d.compression); err != nil {
		return m, err
	}
	if tokenizerPath == "" {
		m.Tokenizer, err = d.openTokenizer(m.Config.VocabSize)
	} else {
		var file *mapped.File
		if m.Tokenizer, file, err = weights.ReadTokenizer(tokenizerPath, m.Config.VocabSize); err == nil {
			d.files = append(d.files, file)
		}
	}
	if c := &m.Config; err == nil && len(c.EOSTokenIDs) == 0 && m.Tokenizer != nil {
		if eos := int(m.Tokenizer.EOS()); eos >= 0 && eos < c.VocabSize {
			c.EOSTokenIDs = []int{eos}
		}
	}
	m.Files = d.files
	if err == nil {
		m.Chat, err = d.chatTemplate()
	}
	return m, err
}

// read reads a small file of the directory.
func (d *directory) read(name string, limit int64) (*mapped.File, error) {
	file, err := mapped.Read(filepath.Join(d.path, name), limit)
	if err == nil {
		d.files = append(d.files, file)
	}
	return file, err
}

// config reads config.json and generation_config.json, where there is one.
func (d *directory) config() (format.Config, error) {
	file, err := d.read(configName, maxConfig)
	if err != nil {
		return format.Config{}, err
	}
	c, err := parseConfig(file.Bytes())
	if err != nil {
		return c, fmt.Errorf("%s: %w", file.Path, err)
	}
	var f configFile
	if err := json.Unmarshal(file.Bytes(), &f); err == nil { // it was parsed before
		d.compression, _ = f.compression()
	}
	file, err = d.read("generation_config.json", maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	eos, err := generationEOS(file.Bytes())
	if err == nil && eos != nil {
		c.EOSTokenIDs = eos
		err = c.Check()
	}
	if err != nil {
		return c, fmt.Errorf("%s: %w", file.Path, err)
	}
	return c, nil
}

// stored is a tensor of a safetensors file.
type stored struct {
	safetensors.TensorView
	path string // of the file
}

// tensors finds all tensors of the directory, in one file or in shards.
func (d *directory) tensors() (map[string]stored, error) {
	found := make(map[string]stored)
	err := d.shard(singleFile, found, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	file, err := d.read(indexFile, maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: neither %s nor %s (models in PyTorch's .bin files must be saved as safetensors first): %w",
			d.path, singleFile, indexFile, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	index, err := parseIndex(file.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file.Path, err)
	}
	for _, shard := range slices.Compact(slices.Sorted(maps.Values(index))) {
		if err := d.shard(shard, found, index); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(index)) {
		if _, ok := found[name]; !ok {
			return nil, fmt.Errorf("%s: tensor %q is not in %s, as the index says: %w", file.Path, name, index[name], format.ErrCorrupt)
		}
	}
	return found, nil
}

// shard adds the tensors of one file to found; index is nil where there is one file only.
func (d *directory) shard(name string, found map[string]stored, index map[string]string) error {
	file, err := mapped.Open(filepath.Join(d.path, name))
	if err != nil {
		return err
	}
	d.files = append(d.files, file)
	st, err := readSafetensors(file)
	if err != nil {
		return err
	}
	for _, t := range st.Tensors() {
		if index != nil && index[t.Name] != name {
			return fmt.Errorf("%s: tensor %q, which the index gives to %q: %w", file.Path, t.Name, index[t.Name], format.ErrCorrupt)
		}
		found[t.Name] = stored{t.TensorView, file.Path}
	}
	return nil
}

// match picks c's tensors from those found and refuses what would change the model.
func match(dir string, c *format.Config, found map[string]stored, integers *compression) (map[string]weights.Tensor, error) {
	tensors := make(map[string]weights.Tensor)
	for _, spec := range c.Tensors() {
		if spec.Linear && integers != nil {
			var err error
			if tensors[spec.Name], err = integers.matrix(dir, spec, found); err != nil {
				return nil, err
			}
			continue
		}
		t, ok := found[spec.Name]
		if !ok {
			hint := ""
			if spec.LMHead {
				hint = " (is tie_word_embeddings missing from config.json?)"
			}
			return nil, fmt.Errorf("%s: no tensor %q among the %d of its safetensors files%s: %w",
				dir, spec.Name, len(found), hint, format.ErrCorrupt)
		}
		shape := []uint64{uint64(spec.Out), uint64(spec.In)}
		if spec.In == 0 {
			shape = shape[:1]
		}
		if !slices.Equal(t.Shape(), shape) {
			return nil, fmt.Errorf("%s: tensor %q is %s%d, config.json wants %d: %w",
				t.path, spec.Name, t.DType(), t.Shape(), shape, format.ErrCorrupt)
		}
		e := floatElements(t)
		if e == nil {
			return nil, fmt.Errorf("%s: tensor %q is %s, want F32, F16 or BF16: %w", t.path, spec.Name, t.DType(), format.ErrUnsupported)
		}
		tensors[spec.Name] = weights.Tensor{DType: format.DType(t.DType().String()), Elements: e}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, ok := tensors[integers.of(name)]; !ok && !harmless(name) {
			return nil, fmt.Errorf("%s: tensor %q is no part of a LLaMA of this config.json: %w", found[name].path, name, format.ErrUnsupported)
		}
	}
	return tensors, nil
}

// harmless says that a tensor may be there without being read: RoPE's frequencies,
// which follow from the config, and a copy of the embedding as a tied head.
func harmless(name string) bool {
	return strings.HasSuffix(name, ".rotary_emb.inv_freq") || name == format.LMHeadName
}
