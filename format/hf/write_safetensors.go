package hf

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/llmqat/llmqat/internal/replace"
)

// shardBytes is what a file of weights holds at most, where no tensor alone is larger: so much loads everywhere.
const shardBytes = 5 << 30

// weights writes the tensors, in one file or in shards with their index.
func (m *Model) weights(dir string) error {
	shards := split(m.Tensors, shardBytes)
	if len(shards) == 1 {
		return writeSafetensors(filepath.Join(dir, singleFile), shards[0])
	}
	names := make(map[string]string)
	var total int64
	for i, list := range shards {
		file := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		if err := writeSafetensors(filepath.Join(dir, file), list); err != nil {
			return err
		}
		for _, t := range list {
			names[t.Name] = file
			total += t.size()
		}
	}
	return writeJSON(dir, indexFile, map[string]any{"metadata": map[string]any{"total_size": total}, "weight_map": names})
}

// split cuts a list into shards of at most limit bytes, or of one tensor.
func split(list []Tensor, limit int64) [][]Tensor {
	var shards [][]Tensor
	size := limit
	for _, t := range list {
		if n := t.size(); size+n > limit {
			shards, size = append(shards, nil), 0
		}
		last := len(shards) - 1
		shards[last] = append(shards[last], t)
		size += t.size()
	}
	return shards
}

// writeSafetensors writes one file.
func writeSafetensors(path string, list []Tensor) error {
	return replace.File(path, func(w io.Writer) error {
		if _, err := w.Write(safetensorsHeader(list)); err != nil {
			return err
		}
		for _, t := range list {
			n := counter{w: w}
			if err := t.Write(&n); err != nil {
				return fmt.Errorf("tensor %q: %w", t.Name, err)
			}
			if n.bytes != t.size() {
				panic(fmt.Sprintf("hf: Write: %d bytes for tensor %q, which has %d", n.bytes, t.Name, t.size()))
			}
		}
		return nil
	})
}

// safetensorsHeader returns the length and the header before the data, which begin at a multiple of 8.
func safetensorsHeader(list []Tensor) []byte {
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	b.WriteString(`{"__metadata__":{"format":"pt"}`)
	var at int64
	for _, t := range list {
		name, _ := json.Marshal(t.Name)
		shape, _ := json.Marshal(t.Shape)
		fmt.Fprintf(&b, `,%s:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, name, t.DType, shape, at, at+t.size())
		at += t.size()
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(b.Len()-8))
	return b.Bytes()
}

// counter counts what is written.
type counter struct {
	w     io.Writer
	bytes int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.bytes += int64(n)
	return n, err
}
