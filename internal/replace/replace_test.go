package replace

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
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

// What stands where the temporary is to be is told, not followed.
func TestPartialIsALink(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("another's"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"other", "nothing"} {
		link := filepath.Join(dir, ".a.partial")
		if err := os.Symlink(to, link); err != nil {
			t.Skip(err) // Windows without the privilege
		}
		if err := File(filepath.Join(dir, "a"), func(io.Writer) error { return nil }); err == nil || !strings.Contains(err.Error(), link) {
			t.Errorf("a file through a link to %s: %v", to, err)
		}
		if err := Dir(filepath.Join(dir, "a"), func(string) error { return nil }); err == nil || !strings.Contains(err.Error(), link) {
			t.Errorf("a folder through a link to %s: %v", to, err)
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, dir); !slices.Equal(got, []string{"other"}) {
		t.Errorf("%q are left", got)
	}
	if got, err := os.ReadFile(other); err != nil || string(got) != "another's" {
		t.Errorf("the file behind the link holds %q (%v)", got, err)
	}
}

func TestTwoWriters(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no locks")
	}
	path := filepath.Join(t.TempDir(), "a")
	err := File(path, func(w io.Writer) error {
		if err := File(path, func(io.Writer) error { return nil }); err == nil || !strings.Contains(err.Error(), "another process") {
			t.Errorf("a second writer: %v", err)
		}
		_, err := io.WriteString(w, "whole")
		return err
	})
	if got, _ := os.ReadFile(path); err != nil || string(got) != "whole" {
		t.Errorf("%q, %v", got, err)
	}
}
