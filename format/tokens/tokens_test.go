package tokens

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmqat/llmqat/format"
)

const hash = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// drawn is the header of a data set of samples drawn from a teacher.
func drawn(samples int64, shard, shards int) Header {
	return Header{
		Method: MethodGenerate, Teacher: "llama", TeacherSHA256: hash, VocabSize: 500, BOS: 1, MaxTokens: 9,
		Sampling: &Sampling{Starts: 490, Greedy: []int{2, 3}, Temperature: 1, TopK: 50, Seed: 1<<64 - 1},
		Samples:  samples, Shard: shard, Shards: shards,
	}
}

// read is the header of a data set of windows of a text.
func read(samples int64) Header {
	return Header{
		Method: MethodText, Teacher: "llama <&>", TeacherSHA256: hash, VocabSize: 500, BOS: -1, MaxTokens: 9,
		Text: &Text{File: "a.txt", SHA256: hash}, Samples: samples, Shards: 1,
	}
}

// sample makes up sample i of h's data set.
func sample(h Header, i int64) Sample {
	r := rand.New(rand.NewPCG(7, uint64(i)))
	if h.Method == MethodText {
		s := Sample{Index: i}
		for range h.MaxTokens {
			s.IDs = append(s.IDs, r.Int32N(500))
		}
		return s
	}
	s := Sample{Index: i, Start: r.Int32N(500), Greedy: 2 + int(i%2), Prompt: 2, EOS: i%3 == 0}
	s.IDs = []int32{1, s.Start, 0, 499}
	for !s.EOS && len(s.IDs) < h.MaxTokens {
		s.IDs = append(s.IDs, r.Int32N(500))
	}
	return s
}

// write appends samples of h's shard at path until there are most of them, and closes it.
func write(t testing.TB, path string, h Header, most int64) {
	t.Helper()
	w, err := Append(path, h)
	if err != nil {
		t.Fatal(err)
	}
	from, _ := h.Range()
	for i, end := w.Next(); i < min(end, from+most); i++ {
		s := sample(h, i)
		if err := w.Write(&s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

const all = 1 << 40

func bytesOf(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The lines are the format: programs in other languages read them.
func TestLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	write(t, path, drawn(2, 0, 1), all)
	want := `{"format":"llmqat-tokens","version":1,"method":"generate","teacher":"llama","teacher_sha256":"` + hash + `","vocab_size":500,"bos":1,"max_tokens":9,` +
		`"sampling":{"starts":490,"greedy":[2,3],"temperature":1,"top_k":50,"seed":18446744073709551615},"samples":2,"shard":0,"shards":1}
{"index":0,"start":134,"greedy":2,"prompt":2,"ids":[1,134,0,499],"eos":true}
{"index":1,"start":308,"greedy":3,"prompt":2,"ids":[1,308,0,499,401,20,138,240,120],"eos":false}
`
	if d := cmp.Diff(want, string(bytesOf(t, path))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	text := filepath.Join(t.TempDir(), "b")
	write(t, text, read(1), all)
	want = `{"format":"llmqat-tokens","version":1,"method":"text","teacher":"llama <&>","teacher_sha256":"` + hash + `","vocab_size":500,"bos":-1,"max_tokens":9,` +
		`"text":{"file":"a.txt","sha256":"` + hash + `"},"samples":1,"shard":0,"shards":1}
{"index":0,"ids":[134,149,57,83,432,397,498,267,306]}
`
	if d := cmp.Diff(want, string(bytesOf(t, text))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, h := range []Header{drawn(17, 1, 3), drawn(2, 1, 3), drawn(1, 0, 3), read(5)} {
		path := filepath.Join(t.TempDir(), "a")
		write(t, path, h, all)
		r, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		from, to := h.Range()
		for i := from; i < to; i++ {
			s, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(sample(h, i), s); d != "" {
				t.Errorf("sample %d (-want +got):\n%s", i, d)
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("after the last sample: %v, want %v", err, io.EOF)
		}
		got := r.Header()
		h.Format, h.Version = formatName, Version
		if d := cmp.Diff(h, got); d != "" {
			t.Errorf("header (-want +got):\n%s", d)
		}
	}
}

// Killed at any byte, a shard is resumed to the same file, and meanwhile is an error
// to who wants all of it.
func TestCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	for _, h := range []Header{drawn(6, 1, 2), read(2)} {
		path := filepath.Join(dir, h.Method)
		write(t, path, h, all)
		whole := bytesOf(t, path)
		header := bytes.IndexByte(whole, '\n')
		for n := 0; n < len(whole); n++ {
			if 1 < n && n < header-1 {
				n = min(n+20, header-1)
			}
			if err := os.WriteFile(path, whole[:n], 0o666); err != nil {
				t.Fatal(err)
			}
			if err := drain(path); !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), path) {
				t.Fatalf("the first %d bytes of %d: read with %v, want %v", n, len(whole), err, ErrIncomplete)
			}
			write(t, path, h, 1) // and interrupted once more
			write(t, path, h, all)
			if !bytes.Equal(bytesOf(t, path), whole) {
				t.Fatalf("resumed from %d bytes of %d, the file differs", n, len(whole))
			}
		}
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, h, all)
		if after, err := os.Stat(path); err != nil || !after.ModTime().Equal(before.ModTime()) || !bytes.Equal(bytesOf(t, path), whole) {
			t.Errorf("a complete shard was written to: %v", err)
		}
	}
}

// drain reads all of a shard.
func drain(path string) error {
	r, err := Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	for err == nil {
		_, err = r.Next()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// Every error names the file and the line, and says what should be there.
func TestMalformed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	write(t, path, drawn(2, 0, 1), all)
	whole := string(bytesOf(t, path))
	text := filepath.Join(t.TempDir(), "b")
	write(t, text, read(1), all)
	windows := string(bytesOf(t, text))
	for _, c := range []struct {
		name, whole, old, new, says string
		is                          error
	}{
		{"no shard", whole, `{"format":"llmqat-tokens"`, `{"text":"once"`, `:1: begins with "{\"text\"`, format.ErrCorrupt},
		{"no JSON", whole, `{"format"`, `PK`, `want the header of a shard`, format.ErrCorrupt},
		{"newer version", whole, `"version":1`, `"version":2`, "version 2, this llmqat reads up to 1", format.ErrUnsupported},
		{"unknown parameter", whole, `"bos":1`, `"bos":1,"beams":4`, `unknown field "beams"`, format.ErrCorrupt},
		{"bos outside", whole, `"bos":1`, `"bos":500`, "bos is 500, want -1 to 499", format.ErrCorrupt},
		{"no teacher", whole, hash, "sha256:00", "teacher_sha256 is", format.ErrCorrupt},
		{"too short", whole, `"max_tokens":9`, `"max_tokens":2`, "max_tokens is 2, want 3", format.ErrCorrupt},
		{"no samples", whole, `"samples":2`, `"samples":0`, "samples is 0", format.ErrCorrupt},
		{"shard outside", whole, `"shard":0`, `"shard":1`, "shard is 1, want 0 to 0", format.ErrCorrupt},
		{"unknown method", whole, `"method":"generate"`, `"method":"beam"`, `method is "beam", want "generate" with sampling`, format.ErrCorrupt},
		{"method without its part", whole, `"method":"generate"`, `"method":"text"`, `"text" with text`, format.ErrCorrupt},
		{"greedy too long", whole, `[2,3]`, `[2,8]`, "greedy is [2 8]", format.ErrCorrupt},
		{"no greedy", whole, `[2,3]`, `[]`, "greedy is []", format.ErrCorrupt},
		{"starts", whole, `"starts":490`, `"starts":501`, "starts is 501", format.ErrCorrupt},
		{"temperature", whole, `"temperature":1`, `"temperature":-1`, "temperature is -1", format.ErrCorrupt},
		{"top_k", whole, `"top_k":50`, `"top_k":-1`, "top_k is -1", format.ErrCorrupt},
		{"text's hash", windows, `"a.txt","sha256":"sha256:0`, `"a.txt","sha256":"sha256:x`, "text's sha256", format.ErrCorrupt},

		{"wrong index", whole, `{"index":1`, `{"index":2`, ":3: index is 2, want 1: keep the lines before it (head -n 2)", format.ErrCorrupt},
		{"twice the same", whole, `{"index":1`, `{"index":0`, ":3: index is 0, want 1", format.ErrCorrupt},
		{"no index", whole, `"index":1,`, ``, `:3: has no "index"`, format.ErrCorrupt},
		{"no eos", whole, `,"eos":true`, ``, `:2: has no "eos"`, format.ErrCorrupt},
		{"no ids", whole, `"ids":[1,134,0,499],`, ``, `:2: 0 ids, want 3 to 9`, format.ErrCorrupt},
		{"null", whole, `"greedy":2`, `"greedy":null`, `:2: has no "greedy"`, format.ErrCorrupt},
		{"unknown field", whole, `"prompt":2`, `"prompts":2`, `:2: unknown field "prompts"`, format.ErrCorrupt},
		{"id outside", whole, `401`, `500`, ":3: id 500 at 4, want 0 to 499", format.ErrCorrupt},
		{"negative id", whole, `401`, `-1`, `:3: ids has "-1", want a token id`, format.ErrCorrupt},
		{"no number", whole, `401`, `"a"`, `:3: ids has "\"a\""`, format.ErrCorrupt},
		{"huge number", whole, `401`, `99999999999999`, `:3: ids has "99999999999999"`, format.ErrCorrupt},
		{"no list", whole, `[1,134,0,499]`, `7`, `:2: ids is "7", want a list`, format.ErrCorrupt},
		{"a list of lists", whole, `[1,134,0,499]`, `[[1,134],[]]`, `:2: ids has "[1"`, format.ErrCorrupt},
		{"ids null", whole, `[1,134,0,499]`, `null`, `:2: ids is "null"`, format.ErrCorrupt},
		{"an empty list", whole, `[1,134,0,499]`, `[ ]`, `:2: 0 ids, want 3 to 9`, format.ErrCorrupt},
		{"fraction", whole, `401`, `1.5`, `:3: ids has "1.5"`, format.ErrCorrupt},
		{"too many ids", whole, `401`, `401,4`, ":3: 10 ids, want 3 to 9", format.ErrCorrupt},
		{"too few ids", whole, `,401`, ``, ":3: 8 ids without eos, want 9", format.ErrCorrupt},
		{"other bos", whole, `"ids":[1,134`, `"ids":[2,134`, ":2: the first id is 2, want 1", format.ErrCorrupt},
		{"other start", whole, `"start":134`, `"start":135`, ":2: the id at 1 is 134, want 135", format.ErrCorrupt},
		{"other greedy", whole, `"greedy":3`, `"greedy":4`, ":3: greedy is 4, want one of [2 3]", format.ErrCorrupt},
		{"other prompt", whole, `"prompt":2`, `"prompt":1`, ":2: prompt is 1, want 2", format.ErrCorrupt},
		{"two on a line", whole, "\n{\"index\":1", `{"index":1`, `:2: "{\"index\":1`, format.ErrCorrupt},
		{"empty line", whole, "\n{\"index\":1", "\n\n{\"index\":1", ":3: EOF", format.ErrCorrupt},
		{"zeros of a lost power supply", whole, `{"index":1`, "\x00\x00\x00", `:3: invalid character '\x00'`, format.ErrCorrupt},
		{"a sample more", whole, "\"eos\":false}\n", "\"eos\":false}\n{\"index\":2}\n", ":4: \"{\\\"index\\\":2}\" after the last sample", format.ErrCorrupt},
		{"a long line", whole, `401`, strings.Repeat(" ", 5000) + "401", ":3: a line of more than", format.ErrCorrupt},
		{"a sample missing", whole, whole[strings.Index(whole, `{"index":1`):], "", "1 of 2 samples are there: run llmqat-train generate again", ErrIncomplete},
		{"a field of the other method", windows, `{"index":0`, `{"index":0,"eos":false`, `:2: has "eos", which samples of method "text" have not`, format.ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(c.whole, c.old, c.new, 1)
			if changed == c.whole {
				t.Fatalf("%q is not in the file", c.old)
			}
			if err := os.WriteFile(path, []byte(changed), 0o666); err != nil {
				t.Fatal(err)
			}
			err := drain(path)
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %v that names %s and says %s", err, c.is, path, c.says)
			}
		})
	}
	if err := os.WriteFile(path, []byte(strings.Replace(strings.Replace(whole, `,"eos":true}`, `, "eos": true }`, 1), ",0,", " , 0\t,", 1)), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := drain(path); err != nil {
		t.Errorf("with spaces: %v", err)
	}
}

// A shard of other parameters is not gone on with; the error names the parameter.
func TestOtherParameters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	write(t, path, drawn(9, 0, 2), 2)
	before := bytesOf(t, path)
	for name, change := range map[string]func(h *Header){
		"method generate, now it is text": func(h *Header) { h.Method, h.Sampling, h.Text = MethodText, nil, &Text{SHA256: hash} },
		"teacher_sha256 " + hash:          func(h *Header) { h.TeacherSHA256 = strings.Replace(hash, "0", "1", 1) },
		"vocab_size 500, now it is 499":   func(h *Header) { h.VocabSize = 499 },
		"bos 1, now it is -1":             func(h *Header) { h.BOS = -1 },
		"max_tokens 9, now it is 8":       func(h *Header) { h.MaxTokens = 8 },
		"starts 490, now it is 3":         func(h *Header) { h.Sampling.Starts = 3 },
		"greedy [2 3], now it is [0]":     func(h *Header) { h.Sampling.Greedy = []int{0} },
		"temperature 1, now it is 0.5":    func(h *Header) { h.Sampling.Temperature = 0.5 },
		"top_k 50, now it is 0":           func(h *Header) { h.Sampling.TopK = 0 },
		"seed 18446744073709551615":       func(h *Header) { h.Sampling.Seed = 2 },
		"samples 9, now it is 10":         func(h *Header) { h.Samples = 10 },
		"shards 2, now it is 1":           func(h *Header) { h.Shards = 1 },
		"shard 0, now it is 1":            func(h *Header) { h.Shard = 1 },
	} {
		h := drawn(9, 0, 2)
		change(&h)
		if _, err := Append(path, h); err == nil || !strings.Contains(err.Error(), "made with "+name) || !strings.Contains(err.Error(), path) {
			t.Errorf("error %v, want one that says %q", err, name)
		}
	}
	h := drawn(9, 0, 2)
	h.Teacher = "another name"
	write(t, path, h, 2)
	if !bytes.Equal(before, bytesOf(t, path)) {
		t.Error("the file was changed")
	}
}

// What is no shard is not overwritten.
func TestOtherFiles(t *testing.T) {
	for _, content := range []string{"my diary", "my\ndiary\n", "{}", "\n", strings.Repeat("x", 100_000)} {
		path := filepath.Join(t.TempDir(), "a")
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Append(path, drawn(9, 0, 2)); !errors.Is(err, format.ErrCorrupt) || !strings.Contains(err.Error(), path) {
			t.Errorf("%.20q: %v, want %v", content, err, format.ErrCorrupt)
		}
		if got := bytesOf(t, path); string(got) != content {
			t.Errorf("%.20q was changed to %.20q", content, got)
		}
	}
	dir := t.TempDir()
	if _, err := Append(dir, drawn(9, 0, 2)); err == nil || !strings.Contains(err.Error(), "want a regular file") {
		t.Errorf("a directory: %v", err)
	}
}

// A shard with a broken line is left as it is.
func TestBrokenIsLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	write(t, path, drawn(9, 0, 1), 5)
	broken := bytes.Replace(bytesOf(t, path), []byte(`{"index":2`), []byte(`{"index":7`), 1)
	if err := os.WriteFile(path, broken, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Append(path, drawn(9, 0, 1)); !errors.Is(err, format.ErrCorrupt) || !strings.Contains(err.Error(), path+":4: index is 7, want 2") {
		t.Errorf("gone on with: %v, want %v and the line", err, format.ErrCorrupt)
	}
	if !bytes.Equal(bytesOf(t, path), broken) {
		t.Error("the file was changed")
	}
}

// Two processes do not write one shard.
func TestLocked(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no locks there")
	}
	path := filepath.Join(t.TempDir(), "a")
	w, err := Append(path, drawn(9, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Append(path, drawn(9, 0, 1)); !errors.Is(err, syscall.EWOULDBLOCK) || !strings.Contains(err.Error(), path) {
		t.Errorf("a second writer: %v, want %v", err, syscall.EWOULDBLOCK)
	}
	w.Close()
	write(t, path, drawn(9, 0, 1), all)
}

// A sample that no reader would take is not written.
func TestWriteChecks(t *testing.T) {
	w, err := Append(filepath.Join(t.TempDir(), "a"), drawn(9, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	s := sample(drawn(9, 0, 1), 1)
	if err := w.Write(&s); err == nil || !strings.Contains(err.Error(), "index is 1, want 0") {
		t.Errorf("sample 1 first: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	for i, h := range []Header{drawn(2, 0, 1), read(1)} {
		path := filepath.Join(dir, fmt.Sprint(i))
		write(f, path, h, all)
		f.Add(bytesOf(f, path))
	}
	path := filepath.Join(dir, "fuzz")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path)
		if err != nil {
			return
		}
		defer r.Close()
		h := r.Header()
		for i, _ := h.Range(); ; i++ {
			s, err := r.Next()
			if err != nil {
				return
			}
			// What is read can be written, and is then read as the same.
			line := s.append(nil, h.Method)
			again, err := h.parse(line, i)
			if err != nil || !cmp.Equal(s, again) {
				t.Fatalf("%s reads as %+v, %v", line, again, err)
			}
		}
	})
}
