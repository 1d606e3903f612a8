package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// Output is a report of either kind.
type Output interface {
	Table(w io.Writer) error                // for people
	Chart(w io.Writer, format string) error // format is "svg" or "png"
}

// CheckOut makes the folder of Save's files, and says whether they can be written:
// before anything is measured.
func CheckOut(base string) error {
	if err := os.MkdirAll(filepath.Dir(base), 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(base), filepath.Base(base)+".tmp*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Save writes base.json, base.svg and base.txt, each through a temporary file.
func Save(r Output, base string) error {
	for ext, write := range map[string]func(w io.Writer) error{
		".json": func(w io.Writer) error { return writeJSON(w, r) },
		".txt":  r.Table,
		".svg":  func(w io.Writer) error { return r.Chart(w, "svg") },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return err
		}
		if err := replaceFile(base+ext, b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func writeJSON(w io.Writer, r Output) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// replaceFile writes a file as temporary, fsync and rename.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
