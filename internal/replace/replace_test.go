package replace

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	put := func(text string, fail error) error {
		return File(path, func(w io.Writer) error {
			fmt.Fprint(w, text)
			if got, _ := os.ReadFile(path); string(got) == text && text != "" {
				t.Error("the file is there before it is whole")
			}
			return fail
		})
	}
	want := func(text string) {
		t.Helper()
		got, err := os.ReadFile(path)
		files, _ := os.ReadDir(dir)
		if err != nil || string(got) != text || len(files) != 1 {
			t.Errorf("holds %q (%v) among %d files, want %q alone", got, err, len(files), text)
		}
	}
	if err := put("one", nil); err != nil {
		t.Fatal(err)
	}
	want("one")
	full := errors.New("no space")
	if err := put("two", full); !errors.Is(err, full) {
		t.Errorf("%v, want %v", err, full)
	}
	want("one")
	if err := put("three", nil); err != nil {
		t.Fatal(err)
	}
	want("three")
	if err := File(filepath.Join(dir, "none", "b"), func(io.Writer) error { return nil }); err == nil {
		t.Error("wrote to a folder that is not there")
	}
}
