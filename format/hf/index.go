package hf

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/llmqat/llmqat/format"
)

const maxShards = 1024

// parseIndex reads model.safetensors.index.json: the shard, a path within the
// directory, of each tensor.
func parseIndex(data []byte) (map[string]string, error) {
	index := make(map[string]string)
	shards := make(map[string]bool)
	w := newWalker(data)
	err := w.object(func(key string) error {
		if key != "weight_map" {
			return w.skip()
		}
		return w.object(func(name string) error {
			shard, err := w.string()
			if err != nil {
				return fmt.Errorf("weight_map: tensor %.200q: %w", name, err)
			}
			index[name], shards[shard] = shard, true
			switch {
			case !filepath.IsLocal(shard):
				return fmt.Errorf("weight_map: tensor %.200q lies in %.200q, want a path within the directory", name, shard)
			case len(index) > maxTensors:
				return fmt.Errorf("weight_map: more than %d tensors", maxTensors)
			case len(shards) > maxShards:
				return fmt.Errorf("weight_map: more than %d shards", maxShards)
			}
			return nil
		})
	})
	if err == nil {
		err = w.end()
	}
	if err == nil && len(index) == 0 {
		err = errors.New("no weight_map")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, format.ErrCorrupt)
	}
	return index, nil
}
