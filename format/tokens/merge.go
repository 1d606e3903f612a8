package tokens

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Merge writes the samples of the shards at paths, as OpenSet takes them, to one shard
// at out. Like every shard that may be there already, in part or whole: then it is
// gone on with, or left. All shards must be there, and finished. out itself may be
// among paths, as where *.jsonl stands for them. step, if not nil, is called with
// samples. added is how many were written.
func Merge(ctx context.Context, out string, paths []string, step func(done, total int64)) (added int64, err error) {
	files, err := expand(paths)
	if err != nil {
		return 0, err
	}
	if there, err := os.Stat(out); err == nil {
		files = slices.DeleteFunc(files, func(path string) bool {
			info, err := os.Stat(path)
			return err == nil && os.SameFile(info, there)
		})
	}
	set, err := OpenSet(files...)
	if err != nil {
		return 0, err
	}
	if missing, of := set.Missing(); len(missing) > 0 {
		return 0, fmt.Errorf("%d of %d shards are missing, the first is %d: make it by llmqat-train generate --shard %d/%d, or name it too",
			len(missing), of, missing[0], missing[0], of)
	}
	w, err := Append(out, set.Header())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	first, end := w.Next()
	for s, err := range set.All() {
		if err != nil {
			return added, err
		}
		if err := ctx.Err(); err != nil {
			return added, err
		}
		if s.Index >= first {
			if err := w.Write(&s); err != nil {
				return added, err
			}
			added++
		}
		if step != nil {
			step(s.Index+1, end)
		}
	}
	return added, nil
}
