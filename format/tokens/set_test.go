package tokens

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shards writes n shards of a data set to a directory, in the order of their names.
func shards(t *testing.T, samples int64, n int) (dir string, paths []string) {
	t.Helper()
	dir = t.TempDir()
	for i := range n {
		paths = append(paths, filepath.Join(dir, ShardName(i, n)))
		write(t, paths[i], drawn(samples, i, n), all)
	}
	return dir, paths
}

// Whatever way they are given, all samples come once, in order.
func TestSet(t *testing.T) {
	for _, n := range []int{1, 2, 5, 12, 30} {
		dir, paths := shards(t, 23, n)
		slices.Reverse(paths)
		for _, given := range [][]string{{dir}, paths} {
			set, err := OpenSet(given...)
			if err != nil {
				t.Fatal(err)
			}
			if missing, of := set.Missing(); len(missing) > 0 || of != n || set.Samples() != 23 {
				t.Errorf("%d shards: %v of %d are missing, %d samples", n, missing, of, set.Samples())
			}
			next := int64(0)
			for s, err := range set.All() {
				if err != nil || s.Index != next {
					t.Fatalf("sample %d: %d, %v", next, s.Index, err)
				}
				next++
			}
			if next != 23 {
				t.Errorf("%d shards: %d samples", n, next)
			}
		}
	}
}

func TestSetRefuses(t *testing.T) {
	dir, paths := shards(t, 23, 4)
	other := filepath.Join(t.TempDir(), "other")
	h := drawn(23, 1, 4)
	h.TeacherSHA256 = strings.Replace(hash, "0", "1", 1)
	write(t, other, h, all)
	for says, given := range map[string][]string{
		"both shard 1 of 4":              {paths[0], paths[1], paths[1]},
		"both shard 0 of 4":              {dir, paths[0]},
		"teacher_sha256 is sha256:00112": {paths[0], other},
		"no such file":                   {dir, dir + "x"},
		"no shard-*.jsonl in it":         {t.TempDir()},
		"no shards given":                {},
	} {
		if _, err := OpenSet(given...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v, want an error that says %q", given, err, says)
		}
	}
	set, err := OpenSet(paths[3], paths[1])
	if err != nil {
		t.Fatal(err)
	}
	if missing, of := set.Missing(); !slices.Equal(missing, []int{0, 2}) || of != 4 || set.Samples() != 6+6 {
		t.Errorf("%v of %d are missing, %d samples are there; want [0 2] of 4, 12", missing, of, set.Samples())
	}
}

// Merged shards are the file that one machine would have written, however often they
// are merged and wherever that was interrupted.
func TestMerge(t *testing.T) {
	ctx := context.Background()
	one := filepath.Join(t.TempDir(), "one")
	write(t, one, drawn(23, 0, 1), all)
	want := bytesOf(t, one)
	dir, paths := shards(t, 23, 5)
	out := filepath.Join(dir, "shard-all.jsonl")
	for i, given := range [][]string{paths, append(slices.Clone(paths), out)} {
		added, err := Merge(ctx, out, given, nil)
		if err != nil || added != []int64{23, 0}[i] || !bytes.Equal(bytesOf(t, out), want) {
			t.Fatalf("merged: %v, %d samples, or the file differs from one shard's", err, added)
		}
	}
	if added, err := Merge(ctx, out, []string{dir}, nil); added != 0 || err != nil {
		t.Errorf("merged again from the directory in which it is: %d samples, %v; want none", added, err)
	}
	for n := 0; n < len(want); n += 37 {
		if err := os.WriteFile(out, want[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Merge(ctx, out, paths, nil); err != nil || !bytes.Equal(bytesOf(t, out), want) {
			t.Fatalf("gone on with after %d bytes: %v, or the file differs", n, err)
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	ctx := context.Background()
	_, paths := shards(t, 23, 5)
	out := filepath.Join(t.TempDir(), "out")
	if _, err := Merge(ctx, out, slices.Delete(slices.Clone(paths), 2, 3), nil); err == nil || !strings.Contains(err.Error(), "the first is 2: make it by llmqat-train generate --shard 2/5") {
		t.Errorf("a shard missing: %v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a refused merge wrote a file")
	}
	b := bytesOf(t, paths[3])
	if err := os.WriteFile(paths[3], b[:len(b)-5], 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Merge(ctx, out, paths, nil); !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), paths[3]) {
		t.Errorf("a shard cut off: %v, want %v", err, ErrIncomplete)
	}
	if err := drain(out); !errors.Is(err, ErrIncomplete) {
		t.Errorf("what was merged so far reads with %v, want %v", err, ErrIncomplete)
	}
	if err := os.WriteFile(paths[3], b, 0o666); err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	if _, err := Merge(stopped, out, paths, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := Merge(ctx, out, paths, nil); err != nil || drain(out) != nil {
		t.Errorf("all there again: %v", err)
	}
}
