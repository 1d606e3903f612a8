package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// layout is one way in which a file holds items as JSON objects, in lines or in an array.
type layout struct {
	is   string   // whose, for messages
	keys []string // that tell it from the others; "a.b" is b in the object a

	// item reads one object. Gold is -1 where labels stand in a file beside it.
	item func(object []byte) (Item, error)
	// label reads a line of that file.
	label func(line string) (int, error)
}

func (l *layout) String() string {
	return fmt.Sprintf("%s (%s)", l.is, strings.Join(l.keys, ", "))
}

// of makes a reader of objects from one of what they are decoded to.
func of[T any](item func(o *T) (Item, error)) func([]byte) (Item, error) {
	return func(object []byte) (Item, error) {
		var o T
		err := json.Unmarshal(object, &o)
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			err = fmt.Errorf("%s: is a %s, want a %s", strings.ToLower(wrong.Field), wrong.Value, wrong.Type.Kind())
		}
		if err != nil {
			return Item{}, err
		}
		return item(&o)
	}
}

// maxFile bounds what is read of a task, bytes: the largest, HellaSwag's training split, has 50 MB.
const maxFile = 512 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s: more than %d MB: is this a task's file?", path, maxFile>>20)
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, fmt.Errorf("%s: empty: copy it again", path)
	}
	return b, nil
}

// read returns the items of a file in any of the task's layouts.
func (t *Task) read(path string) ([]Item, error) {
	file, err := readFile(path)
	if err != nil {
		return nil, err
	}
	switch first := bytes.TrimSpace(file)[0]; {
	case t.subject != "" && filepath.Ext(path) == ".csv": // whose first question may begin with a bracket
		return readCSV(path, file)
	case first == '{' || first == '[':
		return t.readJSON(path, file)
	case t.Name == "hellaswag":
		return t.readSixLines(path, file)
	}
	return nil, fmt.Errorf("%s:1: begins with %q: want JSON objects, %s", path, clip(file), t.wants())
}

// wants says which layouts a task is read in.
func (t *Task) wants() string {
	var all []string
	for _, l := range t.layouts {
		all = append(all, l.String())
	}
	return "one of " + strings.Join(all, "; ")
}

func clip(b []byte) string {
	line, _, _ := bytes.Cut(b[:min(len(b), 60)], []byte("\n"))
	return string(line)
}

// readJSON reads objects; all are of the layout that the first one has.
func (t *Task) readJSON(path string, file []byte) ([]Item, error) {
	var items []Item
	var l *layout
	labelled := true
	err := objects(path, file, func(where string, object []byte) error {
		var has map[string]json.RawMessage
		if err := json.Unmarshal(object, &has); err != nil {
			return fmt.Errorf("%s: %w: want an object, %s", where, err, t.wants())
		}
		if l == nil {
			if l = t.layoutOf(has); l == nil {
				return fmt.Errorf("%s: an object with %s: want %s, %s", where, keysOf(has), t.Name, t.wants())
			}
		}
		if key := l.missing(has); key != "" {
			return fmt.Errorf("%s: no %q: want what the first line has, %v", where, key, l)
		}
		i, err := l.item(object)
		if err == nil && i.Gold < 0 && l.label == nil {
			err = errors.New("no label: is this the test split, whose answers are not published?")
		}
		if err == nil && i.Gold >= 0 {
			err = t.check(&i)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		if len(items) > 0 && labelled != (i.Gold >= 0) {
			return fmt.Errorf("%s: some items have a label and some have none", where)
		}
		labelled = i.Gold >= 0
		items = append(items, i)
		return nil
	})
	if err == nil && len(items) == 0 {
		err = fmt.Errorf("%s: no items", path)
	}
	if err == nil && !labelled {
		err = t.readLabels(path, items, l.label)
	}
	if err != nil {
		return nil, err
	}
	return items, nil
}

func (t *Task) layoutOf(has map[string]json.RawMessage) *layout {
	for i := range t.layouts {
		if t.layouts[i].missing(has) == "" {
			return &t.layouts[i]
		}
	}
	return nil
}

// missing returns a key of the layout that an object lacks, or "".
func (l *layout) missing(has map[string]json.RawMessage) string {
	for _, key := range l.keys {
		outer, inner, nested := strings.Cut(key, ".")
		value, ok := has[outer]
		if ok && nested {
			var o map[string]json.RawMessage
			ok = json.Unmarshal(value, &o) == nil && o[inner] != nil
		}
		if !ok {
			return key
		}
	}
	return ""
}

// objects calls item with each value of an array or of JSON lines, and where it stands.
func objects(path string, file []byte, item func(where string, object []byte) error) error {
	d := json.NewDecoder(bytes.NewReader(file))
	line, counted := 1, 0
	where := func() string { // the next value begins behind white space, and a comma in an array
		at := int(d.InputOffset())
		for at < len(file) && strings.IndexByte(" \t\r\n,", file[at]) >= 0 {
			at++
		}
		line, counted = line+bytes.Count(file[counted:at], []byte("\n")), at
		return path + ":" + strconv.Itoa(line)
	}
	array := bytes.TrimSpace(file)[0] == '['
	if array {
		if _, err := d.Token(); err != nil {
			return fmt.Errorf("%s: %w", where(), err)
		}
	}
	for {
		at := where()
		if array && !d.More() {
			if _, err := d.Token(); err != nil {
				return fmt.Errorf("%s: the array has no end: is the file truncated?", at)
			}
			if rest := bytes.TrimSpace(file[d.InputOffset():]); len(rest) > 0 {
				return fmt.Errorf("%s: %q behind the array's end", where(), clip(rest))
			}
			return nil
		}
		var object json.RawMessage
		err := d.Decode(&object)
		switch {
		case err == io.EOF && !array:
			return nil
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("%s: the JSON value that begins here has no end: is the file truncated?", at)
		case err != nil:
			return fmt.Errorf("%s: not JSON: %w", at, err)
		}
		if err := item(at, object); err != nil {
			return err
		}
	}
}

// readLabels fills in Gold from the file of labels that stands beside items without them.
func (t *Task) readLabels(path string, items []Item, label func(line string) (int, error)) error {
	at := strings.TrimSuffix(strings.TrimSuffix(path, ".jsonl"), ".json") + "-labels.lst"
	file, err := readFile(at)
	if err != nil {
		return fmt.Errorf("%s has no labels, and they cannot be read from the file beside it: %w", path, err)
	}
	lines := strings.Split(strings.TrimRight(string(file), "\n"), "\n")
	if len(lines) != len(items) {
		return fmt.Errorf("%s: %d labels for the %d items of %s: are these files of one split, and whole?", at, len(lines), len(items), path)
	}
	for i, line := range lines {
		if items[i].Gold, err = label(strings.TrimSpace(line)); err == nil {
			err = t.check(&items[i])
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", at, i+1, err)
		}
	}
	return nil
}

// check says what is wrong with an item that was read.
func (t *Task) check(i *Item) error {
	if len(i.Choices) < 2 {
		return fmt.Errorf("%d choices, want 2 or more", len(i.Choices))
	}
	for n, c := range i.Choices {
		if c == "" && t.subject == "" { // of MMLU's only the letters are scored
			return fmt.Errorf("choice %d is empty: nothing can be scored by its length", n+1)
		}
	}
	if i.Gold < 0 || i.Gold >= len(i.Choices) {
		return fmt.Errorf("the right choice is number %d of %d", i.Gold+1, len(i.Choices))
	}
	return nil
}

func keysOf(has map[string]json.RawMessage) string {
	return strings.Join(slices.Sorted(maps.Keys(has)), ", ")
}
