package progress

import (
	"context"
	"io"
	"path/filepath"
)

// Hash is src.Hash, with a bar on w: src lies at path.
func Hash(ctx context.Context, w io.Writer, path string, src interface {
	Size() int64
	Hash(ctx context.Context, step func(n int)) (string, error)
}) (string, error) {
	step, end := Bar(w, "reading "+filepath.Base(path))
	defer end()
	done := int64(0)
	return src.Hash(ctx, func(n int) { done += int64(n); step(done, src.Size()) })
}
