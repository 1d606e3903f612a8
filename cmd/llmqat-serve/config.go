package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/alecthomas/kong"
)

// config is a --config file: TOML whose keys are the flags' names. kong asks it for flags that the command line
// does not set.
type config struct {
	path   string
	values map[string]any
}

func readConfig(r io.Reader) (kong.Resolver, error) {
	c := config{path: "--config"}
	if file, ok := r.(*os.File); ok {
		c.path = file.Name()
	}
	if _, err := toml.NewDecoder(r).Decode(&c.values); err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	return c, nil
}

// Validate refuses keys that no flag has: a misspelt limit would be none.
func (c config) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for _, f := range app.Flags {
		if len(f.Envs) > 0 && f.Name != "config" { // what no variable can set is for the command line alone
			known[f.Name] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.values)) {
		if !known[key] {
			return fmt.Errorf("%s: %q is no setting: did you mean %q?", c.path, key, nearest(key, slices.Sorted(maps.Keys(known))))
		}
		if _, err := c.text(key); err != nil {
			return err
		}
	}
	return nil
}

// Resolve returns what the file says of a flag, nil where it says nothing or an environment variable says more.
func (c config) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return nil, nil
		}
	}
	if _, ok := c.values[flag.Name]; !ok {
		return nil, nil
	}
	return c.text(flag.Name)
}

// text is a value as the command line would spell it.
func (c config) text(key string) (string, error) {
	values, isList := c.values[key].([]any)
	if !isList {
		values = []any{c.values[key]}
	}
	var words []string
	for _, v := range values {
		switch v.(type) {
		case string, int64, float64, bool:
			words = append(words, fmt.Sprint(v))
		default:
			return "", fmt.Errorf("%s: %s: want a string, a number, true, false or a list of them, got %T", c.path, key, v)
		}
	}
	return strings.Join(words, ","), nil
}

// nearest returns the name that takes the fewest letters changed, added or left out.
func nearest(key string, names []string) string {
	return slices.MinFunc(names, func(a, b string) int { return distance(key, a) - distance(key, b) })
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0] // of row i, column j
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
