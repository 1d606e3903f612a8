package serve

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/serve/chat"
)

// Prompts of real vocabularies have the ids that transformers gives them.
func TestChatOfRealVocabularies(t *testing.T) {
	dir := os.Getenv("LLMQAT_TESTDATA")
	if dir == "" {
		t.Skip("LLMQAT_TESTDATA names no folder of real tokenizers")
	}
	for _, c := range []struct {
		file, as, template, content string
		want                        []int32
		end                         int32
	}{
		{"llama2.tokenizer.model", "tokenizer.model", "llama2", "hi", []int32{1, 518, 25580, 29962, 7251, 518, 29914, 25580, 29962}, 2},
		{"llama2.tokenizer.model", "tokenizer.model", "llama2", "</s>", []int32{1, 518, 25580, 29962, 1533, 29879, 29958, 518, 29914, 25580, 29962}, 2},
		{"llama3.tokenizer.json", "tokenizer.json", "llama3", "hi",
			[]int32{128000, 128006, 882, 128007, 271, 6151, 128009, 128006, 78191, 128007, 271}, 128009},
	} {
		data, err := os.ReadFile(filepath.Join(dir, "tok", c.file))
		if err != nil {
			t.Fatal(err)
		}
		tok, err := tokenizer.Parse(c.as, data)
		if err != nil {
			t.Fatal(err)
		}
		template, err := chat.Load(c.template)
		if err != nil {
			t.Fatal(err)
		}
		m := &Model{Tokenizer: tok, Chat: template}
		o := chatOptions(m)
		o.Answer = true
		text, err := template.Render([]chat.Message{{Role: chat.User, Content: c.content}}, o)
		if err != nil {
			t.Fatal(err)
		}
		if got := chatIDs(m, text); !slices.Equal(got, c.want) {
			t.Errorf("%s of %q: %d, want %d", c.template, text.S, got, c.want)
		}
		if got := turnEnds(m); !slices.Equal(got, []int32{c.end}) {
			t.Errorf("%s: a turn ends with %d, want %d", c.template, got, c.end)
		}
	}
}
