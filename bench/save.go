package bench

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/llmqat/llmqat/internal/replace"
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

// Save writes base.json, base.svg and base.txt, each whole or not at all.
func Save(r Output, base string) error {
	for ext, write := range map[string]func(w io.Writer) error{
		".json": func(w io.Writer) error { return writeJSON(w, r) },
		".txt":  r.Table,
		".svg":  func(w io.Writer) error { return r.Chart(w, "svg") },
	} {
		if err := replace.File(base+ext, write); err != nil {
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
