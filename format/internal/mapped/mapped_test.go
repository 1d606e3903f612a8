package mapped

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format"
)

func TestOpen(t *testing.T) {
	want := bytes.Repeat([]byte("llama"), 5000)
	path := filepath.Join(t.TempDir(), "m")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, open := range []func() (*File, error){
		func() (*File, error) { return Open(path) },
		func() (*File, error) { return Read(path, int64(len(want))) },
	} {
		f, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(f.Bytes(), want) {
			t.Error("bytes differ from the file's")
		}
		for range 2 {
			if err := f.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	}
}

// What was given back can be read again.
func TestRelease(t *testing.T) {
	want := bytes.Repeat([]byte("llama"), 50000)
	path := filepath.Join(t.TempDir(), "m")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 2 {
		if !bytes.Equal(f.Bytes(), want) {
			t.Error("bytes differ from the file's")
		}
		f.Release()
	}
	Memory("m", want).Release()
	if want[1] != 'l' {
		t.Error("memory was given back")
	}
}

func TestOpenEmpty(t *testing.T) {
	path := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil || len(f.Bytes()) != 0 || f.Close() != nil {
		t.Fatalf("got %v, %v", f, err)
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); !errors.Is(err, format.ErrUnsupported) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	path := filepath.Join(dir, "long")
	if err := os.WriteFile(path, make([]byte, 11), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path, 10); !errors.Is(err, format.ErrCorrupt) {
		t.Errorf("longer than the limit: %v", err)
	}
}

// A file that shrinks while it is mapped is an error of the read, not the end of the process.
func TestGuardTruncated(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("no mapping on " + runtime.GOOS)
	}
	path := filepath.Join(t.TempDir(), "m")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	sum := byte(0)
	err = Guard(path, func() error {
		for _, b := range f.Bytes() {
			sum += b
		}
		return nil
	})
	if !errors.Is(err, format.ErrCorrupt) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v (sum %d), want an ErrCorrupt that names the file", err, sum)
	}
}

func TestGuardPassesPanics(t *testing.T) {
	defer func() {
		if r := recover(); r != "ours" {
			t.Errorf("recovered %v, want the panic of read", r)
		}
	}()
	Guard("f", func() error { panic("ours") })
}
