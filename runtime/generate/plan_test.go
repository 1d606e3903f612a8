package generate

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format/tokens"
)

// plan is one of n start tokens.
func plan(n int) *Plan {
	list := make([]int32, n)
	for i := range list {
		list[i] = int32(i)
	}
	return &Plan{tokens.Header{Sampling: &tokens.Sampling{Greedy: []int{2, 3, 4}, Seed: 5}}, spread(list)}
}

// Three times the number of start tokens give each of them with each greedy length;
// any number of samples is spread evenly over vocabulary and lengths.
func TestPlanIsEven(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 509, 512, 31_997, 128_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			p := plan(n)
			type pair struct {
				start  int32
				greedy int
			}
			seen := map[pair]bool{}
			times := make([]int, n)
			var parts [8]int
			var lengths [5]int
			for i := range int64(3 * n) {
				start, greedy, _ := p.At(i)
				if seen[pair{start, greedy}] {
					t.Fatalf("sample %d is the second of start token %d and greedy length %d", i, start, greedy)
				}
				seen[pair{start, greedy}] = true
				if times[start]++; int64(times[start]) != i/int64(n)+1 {
					t.Fatalf("sample %d: start token %d comes for the %d. time in pass %d", i, start, times[start], i/int64(n)+1)
				}
				// An eighth of the vocabulary has at any time an eighth of the samples, to 4: what
				// the golden section strays is about the logarithm of their number.
				parts[int(start)*8/n]++
				if want := float64(i+1) / 8; n >= 8 {
					for _, got := range parts {
						if math.Abs(float64(got)-want) > 4 {
							t.Fatalf("%d samples by eighths of the vocabulary: %v", i+1, parts)
						}
					}
				}
				// Two more of one than of another: where a pass ends within a turn.
				if lengths[greedy]++; slices.Max(lengths[2:])-slices.Min(lengths[2:]) > 2 {
					t.Fatalf("%d samples by greedy length: %v", i+1, lengths[2:])
				}
			}
		})
	}
}

// What a sample is never changes: data sets are gone on with by later versions.
func TestPlanIsFixed(t *testing.T) {
	h := fnv.New64a()
	p := plan(31_997)
	for _, i := range []int64{0, 1, 2, 31_996, 31_997, 95_990, 1 << 39} {
		start, greedy, seed := p.At(i)
		fmt.Fprintln(h, i, start, greedy, seed)
	}
	if got, want := h.Sum64(), uint64(0xf1f1cfe2fd95ca94); got != want {
		t.Errorf("the samples hash to %#x, recorded was %#x", got, want)
	}
	seeds := map[uint64]bool{}
	for i := range int64(100_000) {
		_, _, seed := p.At(i)
		seeds[seed] = true
	}
	if len(seeds) != 100_000 {
		t.Errorf("100000 samples have %d seeds", len(seeds))
	}
}

func TestHeader(t *testing.T) {
	yes, no := true, false
	m := teacher(t, 1)
	for _, c := range []struct {
		name string
		o    Options
		want string // "" or a part of the error
		bos  int32
		most int
	}{
		{"as the model says", Options{}, "", 1, 100},
		{"with BOS", Options{BOS: &yes, MaxTokens: 2}, "", 1, 2},
		{"without BOS", Options{BOS: &no, MaxTokens: 50}, "", -1, 50},
		{"beyond the context", Options{MaxTokens: 101}, "want 2 to 100, the model's context", 0, 0},
		{"nothing", Options{MaxTokens: 1}, "want 2 to 100", 0, 0},
		{"negative", Options{MaxTokens: -1}, "want 2 to 100", 0, 0},
	} {
		h, err := c.o.header(m, tokens.MethodText)
		switch {
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: error %v, want one that says %q", c.name, err, c.want)
		case c.want == "" && (err != nil || h.BOS != c.bos || h.MaxTokens != c.most):
			t.Errorf("%s: bos %d, %d tokens, %v; want %d, %d", c.name, h.BOS, h.MaxTokens, err, c.bos, c.most)
		}
	}
	none := *m.Config
	none.BOSTokenID = -1
	if _, err := (&Options{BOS: &yes}).header(&Teacher{Config: &none}, tokens.MethodText); err == nil || !strings.Contains(err.Error(), "no BOS token") {
		t.Errorf("BOS of a model without: %v", err)
	}
	if h, err := (&Options{}).header(&Teacher{Config: &none}, tokens.MethodText); err != nil || h.BOS != -1 {
		t.Errorf("a model without BOS: %d, %v", h.BOS, err)
	}
}

// Samples begin with what a text can have: bytes, but not BOS, EOS, UNK and padding.
func TestStartTokens(t *testing.T) {
	m := teacher(t, 1)
	list := startTokens(m.Config, m.Tokenizer)
	if n := m.Config.VocabSize - 3; len(list) != n || slices.Contains(list, 0) || slices.Contains(list, 1) || slices.Contains(list, 2) {
		t.Errorf("%d start tokens from %v, want %d from 3 on", len(list), list[:4], n)
	}
	if id, ok := m.Tokenizer.ID("<0x00>"); !ok || !slices.Contains(list, id) {
		t.Errorf("byte token %d is not among them", id)
	}
	padded := *m.Config
	padded.VocabSize += 100
	if got := startTokens(&padded, m.Tokenizer); !slices.Equal(got, list) {
		t.Errorf("with 100 ids that the tokenizer does not know, %d start tokens, want %d", len(got), len(list))
	}
	if got := startTokens(m.Config, nil); len(got) != m.Config.VocabSize-2 {
		t.Errorf("without a tokenizer %d start tokens, want all but BOS and EOS", len(got))
	}
}
