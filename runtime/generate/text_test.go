package generate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format/tokens"
)

// Windows of a text are its tokens, each once, whatever machine writes them.
func TestText(t *testing.T) {
	m, dir := teacher(t, 1), t.TempDir()
	text := filepath.Join(dir, "text")
	story := strings.Repeat("Once upon a time, there was a café. ", 40)
	if err := os.WriteFile(text, []byte(story), 0o666); err != nil {
		t.Fatal(err)
	}
	ids := m.Tokenizer.Encode(story)
	no := false
	for _, c := range []struct {
		bos    *bool
		begin  []int32
		length int
	}{{nil, []int32{1}, 29}, {&no, nil, 30}} {
		sub := t.TempDir()
		for i := range 3 {
			x, err := ReadText(m, text, Options{Shard: i, Shards: 3, MaxTokens: 30, BOS: c.bos})
			if err != nil {
				t.Fatal(err)
			}
			w, err := tokens.Append(filepath.Join(sub, tokens.ShardName(i, 3)), x.Header)
			if err != nil {
				t.Fatal(err)
			}
			if err := x.Run(context.Background(), w); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
		}
		list := samples(t, sub)
		if len(list) != len(ids)/c.length {
			t.Errorf("%d samples of %d tokens of %d", len(list), c.length, len(ids))
		}
		for i, s := range list {
			if want := append(slices.Clone(c.begin), ids[i*c.length:][:c.length]...); !slices.Equal(s.IDs, want) {
				t.Fatalf("sample %d is %v, want %v", i, s.IDs, want)
			}
		}
	}
}

func TestTextRefused(t *testing.T) {
	m, dir := teacher(t, 1), t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("Once upon a time"), 0o666); err != nil {
		t.Fatal(err)
	}
	silent := *m
	silent.Tokenizer = nil
	for _, c := range []struct {
		m    *Teacher
		path string
		o    Options
		says string
	}{
		{m, text, Options{}, "one sample takes 99"},
		{m, text, Options{MaxTokens: 3, Samples: 1000}, "and 1000 are wanted"},
		{m, text + "x", Options{}, "no such file"},
		{&silent, text, Options{}, "no tokenizer"},
	} {
		if _, err := ReadText(c.m, c.path, c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want an error that says %q", c.o, err, c.says)
		}
	}
	x, err := ReadText(m, text, Options{Shards: 1, MaxTokens: 3})
	if err != nil {
		t.Fatal(err)
	}
	w, err := tokens.Append(filepath.Join(dir, "shard"), x.Header)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := x.Run(ctx, w); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
