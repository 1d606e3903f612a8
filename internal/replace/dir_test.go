package replace

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// names lists what is in a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestDir(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, "m")
	put := func(fail error) error {
		return Dir(path, func(dir string) error {
			if err := Dir(path, func(string) error { return nil }); err == nil {
				t.Error("two writers of one folder")
			}
			if got, err := os.ReadDir(path); len(got) > 0 {
				t.Errorf("%q is there while it is written (%v)", got, err)
			}
			return errors.Join(File(filepath.Join(dir, "a"), func(w io.Writer) error { _, err := io.WriteString(w, "one"); return err }), fail)
		})
	}
	full := errors.New("no space")
	if err := put(full); !errors.Is(err, full) {
		t.Errorf("%v, want %v", err, full)
	}
	if got := names(t, home); len(got) != 0 {
		t.Errorf("a failure leaves %q", got)
	}

	// What a killed writer left is taken over.
	if err := os.Mkdir(filepath.Join(home, ".m.partial"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".m.partial", "old"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := put(nil); err != nil {
		t.Fatal(err)
	}
	if got := names(t, path); !slices.Equal(got, []string{"a"}) {
		t.Errorf("holds %q, want what was written", got)
	}
	if err := put(nil); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("over a folder that holds something: %v", err)
	}
	if err := os.Remove(filepath.Join(path, "a")); err != nil {
		t.Fatal(err)
	}
	if err := put(nil); err != nil {
		t.Errorf("over an empty folder: %v", err)
	}
	if err := Dir(filepath.Join(path, "a"), func(string) error { return nil }); err == nil {
		t.Error("over a file")
	}
	if err := Dir(filepath.Join(home, "none", "m"), func(string) error { return nil }); err == nil {
		t.Error("in a folder that is not there")
	}
	if got := names(t, home); !slices.Equal(got, []string{"m"}) {
		t.Errorf("%q are left", got)
	}
}
