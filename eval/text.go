package eval

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/llmqat/llmqat/format/tokenizer"
	"github.com/llmqat/llmqat/format/tokens"
)

// MaxLength is a window's tokens where nobody says how many, or the model's context where that is less:
// GPTQ's, which others report too.
const MaxLength = 2048

// Text is what a model is evaluated on: windows of token ids, each evaluated alone.
type Text struct {
	Windows [][]int32 `json:"-"`
	Length  int       `json:"length"`  // tokens of a window: of all, or at most
	Dropped int       `json:"dropped"` // tokens that are in no window
	Is      string    `json:"is"`      // what the windows are, for people
}

// Cut is GPTQ's convention: the text as a whole is tokenized, with BOS at its very
// start where the tokenizer says that texts begin with one, and cut into windows of
// length tokens; the rest, which fills no window, is dropped.
func Cut(tok *tokenizer.Tokenizer, text string, length int) (*Text, error) {
	ids, err := encode(tok, text)
	if err != nil {
		return nil, err
	}
	t := &Text{Length: length, Is: fmt.Sprintf("of %d tokens of one text, %s", length, bos(tok, "at its very start"))}
	for ; len(ids) >= length; ids = ids[length:] {
		t.Windows = append(t.Windows, ids[:length:length])
	}
	if t.Dropped = len(ids); len(t.Windows) == 0 {
		return nil, fmt.Errorf("%d tokens fill no window of %d: give more text, or shorter windows", len(ids), length)
	}
	return t, nil
}

// Documents makes each text a window of its own, with BOS before it where the tokenizer
// says so; what is longer is cut off at length tokens. Texts with nothing to predict,
// which are those of no or one token, are left out.
func Documents(tok *tokenizer.Tokenizer, texts []string, length int) (*Text, error) {
	t := &Text{Length: length, Is: fmt.Sprintf("of up to %d tokens: documents, %s", length, bos(tok, "before each"))}
	for _, text := range texts {
		ids, err := encode(tok, text)
		if err != nil {
			return nil, err
		}
		n := min(len(ids), length)
		t.Dropped += len(ids) - n
		if n > 1 {
			t.Windows = append(t.Windows, ids[:n])
		}
	}
	if len(t.Windows) == 0 {
		return nil, fmt.Errorf("%d documents without a token to predict", len(texts))
	}
	return t, nil
}

func hasBOS(tok *tokenizer.Tokenizer) bool { return tok.AddBOS() && tok.BOS() >= 0 }

// bos says in words whether there is one.
func bos(tok *tokenizer.Tokenizer, where string) string {
	if hasBOS(tok) {
		return "BOS " + where
	}
	return "without BOS"
}

func encode(tok *tokenizer.Tokenizer, text string) (ids []int32, err error) {
	if len(text) > tokenizer.MaxText {
		return nil, fmt.Errorf("a text of %d bytes, at most %d: cut it", len(text), tokenizer.MaxText)
	}
	if hasBOS(tok) {
		ids = append(ids, tok.BOS())
	}
	return append(ids, tok.Encode(text)...), nil
}

// WikiText joins the lines of a wiki.test.raw as GPTQ joins the rows of Hugging Face's
// data set, by blank lines. A row is a line with its end, or nothing where it is blank.
// Ends of CR and LF, which some copies have, are read as LF: as Python, which made the
// data set, reads text.
func WikiText(raw string) string {
	var rows []string
	for line := range strings.Lines(strings.ReplaceAll(raw, "\r\n", "\n")) {
		if strings.TrimSpace(line) == "" {
			line = ""
		}
		rows = append(rows, line)
	}
	return strings.Join(rows, "\n\n")
}

// Divided is the documents between the lines of a text that are divider, without the line ends around them. Ends of
// CR and LF end lines, too.
func Divided(text, divider string) ([]string, error) {
	var list []string
	begin, at := 0, 0
	for line := range strings.Lines(text) {
		end := at
		at += len(line)
		if strings.TrimRight(line, "\r\n") == divider {
			list = append(list, strings.Trim(text[begin:end], "\r\n"))
			begin = at
		}
	}
	if begin == 0 {
		return nil, fmt.Errorf("no line of it is the divider %q", divider)
	}
	return append(list, strings.Trim(text[begin:], "\r\n")), nil
}

// ReadFile reads a text of up to tokenizer.MaxText bytes, in UTF-8: tokenizers read anything, and what is no text
// should not be measured as one.
func ReadFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, tokenizer.MaxText+1))
	if err != nil {
		return "", err
	}
	if len(b) > tokenizer.MaxText {
		return "", fmt.Errorf("%s: more than %d bytes: cut it", path, tokenizer.MaxText)
	}
	text := string(b)
	for at, r := range text {
		if r == utf8.RuneError && !strings.HasPrefix(text[at:], string(utf8.RuneError)) {
			return "", fmt.Errorf("%s: byte %d is %#02x, want text in UTF-8: give another file, or convert it by iconv", path, at, text[at])
		}
	}
	return text, nil
}

// Shards reads the samples of token shards, for a model of so large a vocabulary, as
// the trainer does: in windows of up to length tokens, without rests of one token.
func Shards(paths []string, vocab, length int) (*Text, error) {
	set, err := tokens.OpenSet(paths...)
	if err != nil {
		return nil, err
	}
	h := set.Header()
	if h.VocabSize != vocab {
		return nil, fmt.Errorf("%s: made by %s with a vocabulary of %d, the model has %d: take data of its own teacher",
			strings.Join(paths, ", "), h.Teacher, h.VocabSize, vocab)
	}
	t := &Text{Length: length, Is: fmt.Sprintf("of up to %d tokens: samples", length)}
	for s, err := range set.All() {
		if err != nil {
			return nil, err
		}
		ids := s.IDs
		for len(ids) > 1 {
			n := min(length, len(ids))
			t.Windows = append(t.Windows, ids[:n:n])
			ids = ids[n:]
		}
		t.Dropped += len(ids)
	}
	if len(t.Windows) == 0 {
		return nil, fmt.Errorf("%s: no sample with a token to predict", strings.Join(paths, ", "))
	}
	return t, nil
}
