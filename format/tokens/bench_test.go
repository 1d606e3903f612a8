package tokens

import (
	"path/filepath"
	"testing"
)

// BenchmarkRead reads samples of the paper's length.
func BenchmarkRead(b *testing.B) {
	h := read(200)
	h.VocabSize, h.MaxTokens = 32_000, 2048
	path := filepath.Join(b.TempDir(), "a")
	write(b, path, h, all)
	b.SetBytes(int64(len(bytesOf(b, path))))
	for b.Loop() {
		if err := drain(path); err != nil {
			b.Fatal(err)
		}
	}
}
