package tokenizer

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkEncode(b *testing.B) {
	for _, file := range []string{"tok/llama2.tokenizer.model", "tok/llama3.tokenizer.json"} {
		_, name, _ := strings.Cut(file, ".")
		tok := must(b)(Parse(name, testdata(b, file)))
		wiki := string(testdata(b, "text/wiki.test.raw"))
		for _, c := range []struct{ name, text string }{
			{"wiki", wiki}, {"a", strings.Repeat("a", 1<<20)}, {"space", strings.Repeat(" ", 1<<20)}, {"a", strings.Repeat("a", 1<<17)},
		} {
			b.Run(fmt.Sprintf("file=%s/text=%s/bytes=%d", name, c.name, len(c.text)), func(b *testing.B) {
				b.SetBytes(int64(len(c.text)))
				b.ReportAllocs()
				for b.Loop() {
					tok.Encode(c.text)
				}
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	tok := must(b)(ParseSentencePiece(testdata(b, "tok/llama2.tokenizer.model")))
	text := string(testdata(b, "text/wiki.test.raw"))
	ids := tok.Encode(text)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Decode(ids)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, file := range []string{"tok/llama2.tokenizer.model", "tok/llama3.tokenizer.json"} {
		data := testdata(b, file)
		_, name, _ := strings.Cut(file, ".")
		b.Run("file="+name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				must(b)(Parse(name, data))
			}
		})
	}
}
