package task

import (
	"slices"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/format/tokenizer"
)

func TestRequest(t *testing.T) {
	const bos, eos, space, no = 1, 2, 259, 260
	id := func(s string) (ids []int32) {
		for _, b := range []byte(s) {
			ids = append(ids, int32(b)+3)
		}
		return ids
	}
	join := func(parts ...[]int32) []int32 { return slices.Concat(parts...) }
	for _, c := range []struct {
		what                  string
		special               tokenizer.Special
		max                   int
		context, continuation string
		wantContext, want     []int32
		cut                   bool
	}{
		{"BOS before the context", llama, 99, "ab", " c", join([]int32{bos, space}, id("ab")), join([]int32{space}, id("c")), false},
		{"no BOS where texts have none", tokenizer.Special{BOS: 1, EOS: 2}, 99, "ab", " c", join([]int32{space}, id("ab")), join([]int32{space}, id("c")), false},
		{"space at the context's end moves", llama, 99, "ab \n", " c", join([]int32{bos, space}, id("ab")), join([]int32{space}, id("\n"), []int32{space}, id("c")), false},
		{"nothing before: BOS", llama, 99, "", " no", []int32{bos}, []int32{space, no}, false},
		{"nothing but space before: BOS", llama, 99, " ", "c", []int32{bos}, join([]int32{space, space}, id("c")), false},
		{"neither BOS: EOS", tokenizer.Special{BOS: -1, EOS: 2}, 99, "", "c", []int32{eos}, join([]int32{space}, id("c")), false},
		{"nor EOS: the first token", tokenizer.Special{BOS: -1, EOS: -1}, 99, "", "cd", []int32{space}, id("cd"), false},
		{"cut from the left, BOS first", llama, 4, "abc", "de", id("bc"), id("de"), true},
		{"exactly fits", llama, 7, "abc", "de", join([]int32{bos, space}, id("abc")), id("de"), false},
		{"a continuation longer than all", llama, 3, "abc", "defg", id("e"), id("fg"), true},
		{"a continuation as long as all", llama, 4, "abc", "defg", id("d"), id("efg"), true},
	} {
		e := &encoder{tok: byteTokenizer(t, c.special), max: c.max}
		r, cut, err := e.request(c.context, c.continuation)
		if err != nil || !slices.Equal(r.Context, c.wantContext) || !slices.Equal(r.Continuation, c.want) || cut != c.cut {
			t.Errorf("%s: %v, cut %t, %v; want %v %v", c.what, r, cut, err, c.wantContext, c.want)
		}
	}
	e := &encoder{tok: byteTokenizer(t, llama), max: 99}
	if r, _, err := e.request("an", "o"); err == nil || !strings.Contains(err.Error(), "no token of its own") { // a, no after a, n
		t.Errorf("a continuation within the context's last token: %v, %v", r, err)
	}
}
