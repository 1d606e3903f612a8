package tokens

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
)

// Set is a data set in one or more shards, each of which is there once.
type Set struct {
	shards []shard // in order of their samples
}

type shard struct {
	path string
	h    Header
}

// OpenSet opens the shards at paths, which are files, or directories for all
// shard-*.jsonl in them, in any order. They must be of one data set; some of it may be
// missing.
func OpenSet(paths ...string) (*Set, error) {
	files, err := expand(paths)
	if err != nil {
		return nil, err
	}
	var s Set
	for _, path := range files {
		r, err := Open(path)
		if err != nil {
			return nil, err
		}
		r.Close()
		s.shards = append(s.shards, shard{path, r.h})
	}
	if len(s.shards) == 0 {
		return nil, errors.New("no shards given: name their files or directories")
	}
	slices.SortStableFunc(s.shards, func(a, b shard) int { return cmp.Compare(a.h.Shard, b.h.Shard) })
	for i, b := range s.shards[1:] {
		a := s.shards[i]
		set := b.h
		set.Shard = a.h.Shard
		if name, found, other := a.h.differs(&set); name != "" {
			return nil, fmt.Errorf("%s and %s are not of one data set: %s is %v and %v", a.path, b.path, name, found, other)
		}
		if a.h.Shard == b.h.Shard {
			return nil, fmt.Errorf("%s and %s are both shard %d of %d: give one", a.path, b.path, a.h.Shard, a.h.Shards)
		}
	}
	return &s, nil
}

// expand replaces directories by the shards in them.
func expand(paths []string) (files []string, err error) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		before := len(files)
		for _, e := range entries {
			if ok, _ := filepath.Match("shard-*.jsonl", e.Name()); ok {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
		if len(files) == before {
			return nil, fmt.Errorf("%s: no shard-*.jsonl in it, want those of llmqat-train generate, or name a file", path)
		}
	}
	return files, nil
}

// Header returns what the shards have in common; Shard and Shards are of one that
// holds all samples.
func (s *Set) Header() Header {
	h := s.shards[0].h
	h.Shard, h.Shards = 0, 1
	return h
}

// Samples returns the number of samples of the shards that are there.
func (s *Set) Samples() (n int64) {
	for _, x := range s.shards {
		from, to := x.h.Range()
		n += to - from
	}
	return n
}

// Missing returns the numbers of the shards that are not there, of how many in all.
func (s *Set) Missing() (list []int, of int) {
	next := 0
	of = s.shards[0].h.Shards
	for _, x := range s.shards {
		for ; next < x.h.Shard; next++ {
			list = append(list, next)
		}
		next++
	}
	for ; next < of; next++ {
		list = append(list, next)
	}
	return list, of
}

// All yields every sample, in order of index. It ends with the first error; one that
// wraps ErrIncomplete means that a shard is not finished.
func (s *Set) All() iter.Seq2[Sample, error] {
	return func(yield func(Sample, error) bool) {
		for _, x := range s.shards {
			if !x.each(yield) {
				return
			}
		}
	}
}

// each yields the samples of one shard, and returns false after an error or where
// yield did.
func (x *shard) each(yield func(Sample, error) bool) bool {
	r, err := Open(x.path)
	if err != nil {
		yield(Sample{}, err)
		return false
	}
	defer r.Close()
	for {
		sample, err := r.Next()
		if err == io.EOF {
			return true
		}
		if !yield(sample, err) || err != nil {
			return false
		}
	}
}
