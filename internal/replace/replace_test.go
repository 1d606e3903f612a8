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

// Links are followed, and what is neither file nor folder stays what it is.
func TestDestination(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "folder"), 0o777), os.WriteFile(filepath.Join(dir, "file"), nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"to-file": "file", "to-folder": "folder", "to-nothing": "nothing", "to-device": os.DevNull} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Skip(err) // Windows without the privilege
		}
	}
	before := names(t, dir)
	wrote := false
	write := func(io.Writer) error { wrote = true; return nil }
	for _, name := range []string{"folder", "to-folder", "to-nothing", "to-device"} {
		path := filepath.Join(dir, name)
		if File(path, write) == nil || Check(path) == nil {
			t.Errorf("a file over %s", name)
		}
	}
	for _, name := range []string{"file", "to-file", "to-nothing", "to-device"} {
		if err := Dir(filepath.Join(dir, name), func(string) error { wrote = true; return nil }); err == nil {
			t.Errorf("a folder over %s", name)
		}
	}
	if got := names(t, dir); wrote || !slices.Equal(got, before) {
		t.Errorf("something was written; %q, before %q", got, before)
	}
	put := func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }
	err := errors.Join(File(filepath.Join(dir, "to-file"), put), Dir(filepath.Join(dir, "to-folder"), func(dir string) error { return File(filepath.Join(dir, "a"), put) }))
	if got, _ := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(got) != "new" {
		t.Errorf("through a link: %q, %v", got, err)
	}
	if got := names(t, filepath.Join(dir, "folder")); !slices.Equal(got, []string{"a"}) {
		t.Errorf("through a link the folder got %q", got)
	}
	if got := names(t, dir); !slices.Equal(got, before) {
		t.Errorf("%q, before %q", got, before)
	}
}
