package task

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
)

// Options say which items are asked, and after which examples.
type Options struct {
	Tasks []string // names; "all" are the eight zero-shot tasks
	Dir   string   // where their files are
	Limit int      // the first items of each task, and of each of MMLU's subjects; 0: all

	Shots    int    // examples before each item; -1: 5 for MMLU, none for the others
	ShotsDir string // where their files are; "": other items of the same file
	Seed     uint64 // which of these
}

// Set is a task's items, as they are asked.
type Set struct {
	*Task
	Items []Item
	Shots int
	Path  string
	All   int // items in the file

	examples func(i int) ([]Item, error) // before item i
}

// Load reads the files of all tasks.
func Load(o Options) ([]*Set, error) {
	tasks, err := named(o.Tasks)
	if err != nil {
		return nil, err
	}
	var sets []*Set
	for _, t := range tasks {
		s, err := t.load(o)
		if err != nil {
			return nil, err
		}
		sets = append(sets, s)
	}
	if o.ShotsDir != "" && !slices.ContainsFunc(sets, func(s *Set) bool { return s.Shots > 0 }) {
		return nil, fmt.Errorf("examples of %s: none of the tasks has any before its items: give --shots N, or leave --shots-data out", o.ShotsDir)
	}
	return sets, nil
}

func (t *Task) load(o Options) (*Set, error) {
	s := &Set{Task: t, Shots: o.Shots}
	if s.Shots < 0 {
		s.Shots = t.shots
	}
	var err error
	if s.Path, err = t.find(o.Dir, "items", t.files); err != nil {
		return nil, err
	}
	all, err := t.read(s.Path)
	if err != nil {
		return nil, err
	}
	s.Items, s.All = all, len(all)
	if o.Limit > 0 {
		s.Items = all[:min(o.Limit, len(all))]
	}
	if s.Shots == 0 {
		s.examples = func(int) ([]Item, error) { return nil, nil }
		return s, nil
	}
	dir, names := o.ShotsDir, append(append([]string{}, t.train...), t.files...)
	if dir == "" && t.subject != "" {
		dir, names = o.Dir, t.train // MMLU's archive has both
	}
	if dir == "" {
		s.examples = func(i int) ([]Item, error) { return s.drawn(all, i, o.Seed) }
		return s, nil
	}
	path, err := t.find(dir, "examples", names)
	if err != nil {
		return nil, err
	}
	pool, err := t.read(path)
	if err != nil {
		return nil, err
	}
	s.examples = func(i int) ([]Item, error) { return s.first(pool, path, i) }
	return s, nil
}

// find returns the first of names that is in dir.
func (t *Task) find(dir, what string, names []string) (string, error) {
	switch info, err := os.Stat(dir); {
	case err != nil:
		return "", fmt.Errorf("folder of the tasks' %s: %w", what, err)
	case !info.IsDir():
		return "", fmt.Errorf("folder of the tasks' %s: %s is a file: give the folder that it is in", what, dir)
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err == nil && info.Mode().IsRegular() {
			return path, nil
		}
		// A file may have the name of another layout's folder.
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return "", err
		}
	}
	return "", fmt.Errorf("%s: no file in %s with its %s: looked for %s", t.Name, dir, what, strings.Join(names, ", "))
}

// first returns the pool's first items, without item i itself.
func (s *Set) first(pool []Item, path string, i int) ([]Item, error) {
	var shots []Item
	for n := range pool {
		if len(shots) == s.Shots {
			break
		}
		if !reflect.DeepEqual(pool[n], s.Items[i]) {
			shots = append(shots, pool[n])
		}
	}
	if len(shots) < s.Shots {
		return nil, fmt.Errorf("%s: %d items, want %d examples besides the item that is asked: give fewer --shots, or a larger file", path, len(pool), s.Shots)
	}
	return shots, nil
}

// drawn returns other items of the same file, of a generator of item i's own.
func (s *Set) drawn(all []Item, i int, seed uint64) ([]Item, error) {
	r := rand.New(rand.NewPCG(seed, uint64(i)))
	var shots []Item
	for _, n := range r.Perm(len(all)) {
		if len(shots) == s.Shots {
			break
		}
		if !reflect.DeepEqual(all[n], s.Items[i]) {
			shots = append(shots, all[n])
		}
	}
	if len(shots) < s.Shots {
		return nil, fmt.Errorf("%s: %d items, want %d examples besides the item that is asked: give fewer --shots, or examples by --shots-data", s.Path, len(all), s.Shots)
	}
	return shots, nil
}

// prompt is an item as it is asked: a continuation after a context for each choice.
type prompt struct {
	contexts      []string
	continuations []string // " " and a choice
	lengths       []int    // of the choices, characters
}

// prompt returns item i after its examples.
func (s *Set) prompt(i int) (prompt, error) {
	shots, err := s.examples(i)
	if err != nil {
		return prompt{}, err
	}
	var before strings.Builder
	before.WriteString(s.description)
	for n := range shots {
		contexts, choices := s.ask(&shots[n])
		gold := shots[n].Gold
		before.WriteString(pick(contexts, gold) + " " + pick(choices, gold) + "\n\n")
	}
	item := &s.Items[i]
	contexts, choices := s.ask(item)
	var p prompt
	for n := range item.Choices {
		choice := pick(choices, n)
		p.contexts = append(p.contexts, before.String()+pick(contexts, n))
		p.continuations = append(p.continuations, " "+choice)
		p.lengths = append(p.lengths, len([]rune(choice)))
	}
	return p, nil
}

// pick returns choice n's of a list, which has one for all or one for each.
func pick(list []string, n int) string { return list[min(n, len(list)-1)] }
