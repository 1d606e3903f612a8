package task

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/eval/score"
	"github.com/llmqat/llmqat/format/tokenizer"
)

// byteTokenizer has a token for each byte, three at the begin (SentencePiece's space), BOS before it.
func byteTokenizer(t testing.TB, s tokenizer.Special) *tokenizer.Tokenizer {
	t.Helper()
	pieces := []tokenizer.Piece{{Text: "<unk>", Kind: tokenizer.Unknown}, {Text: "<s>", Kind: tokenizer.Control}, {Text: "</s>", Kind: tokenizer.Control}}
	for b := range 256 {
		pieces = append(pieces, tokenizer.Piece{Text: fmt.Sprintf("<0x%02X>", b), Kind: tokenizer.Byte})
	}
	pieces = append(pieces, tokenizer.Piece{Text: "▁", Kind: tokenizer.Normal}, tokenizer.Piece{Text: "▁no", Kind: tokenizer.Normal, Score: -1}, tokenizer.Piece{Text: "no", Kind: tokenizer.Normal, Score: -2})
	tok, err := tokenizer.NewSentencePiece(pieces, tokenizer.Normalizer{DummyPrefix: true}, s)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

var llama = tokenizer.Special{BOS: 1, EOS: 2, AddBOS: true}

var errKilled = errors.New("killed")

// fakeScorer scores by a rule, and remembers what it was asked.
type fakeScorer struct {
	max   int
	rule  func(r score.Request) score.Score
	asked []score.Request
	end   int // fail after so many; 0: never
}

func (f *fakeScorer) MaxTokens() int { return f.max }
func (f *fakeScorer) Close() error   { return nil }

// Score answers the last request first.
func (f *fakeScorer) Score(ctx context.Context, requests []score.Request, done func(i int, s score.Score) error) error {
	for i, r := range slices.Backward(requests) {
		if f.end > 0 && len(f.asked) == f.end {
			return errKilled
		}
		f.asked = append(f.asked, r)
		if err := done(i, f.rule(r)); err != nil {
			return err
		}
	}
	return nil
}

// byRequest is a score that tells requests apart.
func byRequest(r score.Request) score.Score {
	sum := 0.0
	for i, id := range append(slices.Clone(r.Context), r.Continuation...) {
		sum += float64((i+7)*int(id)%101) / 8
	}
	return score.Score{Logprob: -sum, Greedy: int(sum)%2 == 0}
}

// write puts a file into a folder of its own.
func write(t *testing.T, name, content string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	path := filepath.Join(dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o777)
	if err == nil {
		err = os.WriteFile(path, []byte(content), 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func load(t *testing.T, o Options) []*Set {
	t.Helper()
	sets, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return sets
}
