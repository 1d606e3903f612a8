package main

import (
	"fmt"
	"io"

	"github.com/llmqat/llmqat/format/tokens"
	"github.com/llmqat/llmqat/train"
)

// heldWindows is how many windows are set aside where --held names none: at most a
// tenth of what there is.
const heldWindows = 64

// data reads all windows of --data, and says which of them to train on, the first, and
// which ones to evaluate on; it warns of what is missing. Both sets are opened before
// either is read, which takes time.
func (c *qatCmd) data(config train.Config, vocab int, hash string, warn io.Writer) (all, data, held *train.Data, err error) {
	set, err := open("--data", c.Data, vocab, hash, warn)
	if err != nil {
		return nil, nil, nil, err
	}
	var heldSet *tokens.Set
	if len(c.Held) > 0 {
		if heldSet, err = open("--held", c.Held, vocab, hash, warn); err != nil {
			return nil, nil, nil, err
		}
	}
	if all, err = windows("--data", set, config.Length); err != nil {
		return nil, nil, nil, err
	}
	if heldSet != nil {
		held, err = windows("--held", heldSet, config.Length)
		return all, all, held, err
	}
	n := min(heldWindows, all.Len()/10)
	if n == 0 {
		return nil, nil, nil, fmt.Errorf("--data %v: %d windows: too few to set some aside for evaluation: name others by --held", c.Data, all.Len())
	}
	data, held, err = all.Split(all.Len() - n)
	return all, data, held, err
}

// open opens the shards that a flag names, of this teacher.
func open(flag string, paths []string, vocab int, hash string, warn io.Writer) (*tokens.Set, error) {
	set, err := tokens.OpenSet(paths...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	switch h := set.Header(); {
	case h.VocabSize != vocab:
		return nil, fmt.Errorf("%s %v: of %s with a vocabulary of %d, the teacher has %d: make data of this teacher", flag, paths, h.Teacher, h.VocabSize, vocab)
	case h.Method == tokens.MethodGenerate && h.TeacherSHA256 != hash:
		return nil, fmt.Errorf("%s %v: sampled from another teacher, %s (%s), this one is %s: make data of this teacher", flag, paths, h.Teacher, h.TeacherSHA256, hash)
	}
	if missing, of := set.Missing(); len(missing) > 0 {
		const shown = 8
		list, more := fmt.Sprint(missing[:min(shown, len(missing))]), ""
		if n := len(missing) - shown; n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		fmt.Fprintf(warn, "warning: %s %v: %d of %d shards are missing, numbers %s%s: the others' %d samples are taken\n", flag, paths, len(missing), of, list, more, set.Samples())
	}
	return set, nil
}

// windows reads a set.
func windows(flag string, set *tokens.Set, length int) (*train.Data, error) {
	d := &train.Data{}
	for s, err := range set.All() {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		d.Add(s.IDs, length)
	}
	if d.Len() == 0 {
		return nil, fmt.Errorf("%s: no sample with a token to predict: make others by llmqat-train generate", flag)
	}
	return d, nil
}
