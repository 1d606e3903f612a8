package sched

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmqat/llmqat/runtime/kvcache"
)

var rewrite = flag.Bool("rewrite", false, "record what the scheduler does in testdata")

// TestScripts plays testdata's scripts. A line is a comment (#), a command, or,
// indented, what the scheduler answered to the command above. Commands:
//
//	new budget=N sequences=N pages=N [chunk=N]
//	add id=N prompt=N max=N    the tokens generated are 1, 2, 3, ...; further words:
//	    eos=N
//	    like=N same=N          it begins with so many tokens of sequence like
//	    priority=N client=N salt=N logits=N
//	step [n=N]                 Next and Advance, N times
//	remove id=N
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	for _, file := range files {
		if filepath.Base(file) == "rapid" { // where it keeps how its tests failed
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *rewrite {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			} else if !bytes.Equal(got, want) {
				t.Errorf("%s (-want +got; -rewrite records):\n%s", file, cmp.Diff(string(want), string(got)))
			}
		})
	}
}

// play returns the script with the answers that the scheduler gives now.
func play(t *testing.T, script string) []byte {
	var out bytes.Buffer
	var p player
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, " ") {
			continue // an old answer
		}
		fmt.Fprintln(&out, line)
		if fields := strings.Fields(line); len(fields) > 0 && !strings.HasPrefix(line, "#") {
			args := map[string]int{"n": 1, "eos": -1, "chunk": 1 << 20}
			for _, f := range fields[1:] {
				k, v, _ := strings.Cut(f, "=")
				n, err := strconv.Atoi(v)
				if err != nil {
					t.Fatalf("%q: %v", line, err)
				}
				args[k] = n
			}
			for answer := range strings.Lines(p.do(t, fields[0], args)) {
				fmt.Fprint(&out, "  ", answer)
			}
		}
	}
	return out.Bytes()
}

type player struct {
	s   *Scheduler
	all map[int]*Sequence
}

func (p *player) do(t *testing.T, command string, args map[string]int) string {
	var out strings.Builder
	switch command {
	case "new":
		p.s = New(Options{Budget: args["budget"], Chunk: args["chunk"], Sequences: args["sequences"]}, kvcache.NewPages(args["pages"]))
		p.all = map[int]*Sequence{}
		return ""
	case "add":
		q := &Sequence{ID: int64(args["id"]), Tokens: make([]int32, args["prompt"]), Prompt: args["prompt"],
			MaxTokens: args["max"], EOS: []int32{int32(args["eos"])}, Priority: args["priority"],
			Client: strconv.Itoa(args["client"]), Salt: strconv.Itoa(args["salt"]), Logits: args["logits"]}
		for i := range q.Tokens {
			q.Tokens[i] = int32(args["id"]*10_000 + i)
		}
		if same := args["same"]; same > 0 {
			copy(q.Tokens[:same], p.all[args["like"]].Tokens)
		}
		p.all[args["id"]] = q
		p.s.Add(q)
	case "remove":
		p.s.Remove(p.all[args["id"]])
	case "step":
		for range args["n"] {
			step := p.s.Next()
			var tokens []int32
			for _, c := range step.Copies {
				fmt.Fprintf(&out, "copy page %d to %d\n", c.From, c.To)
			}
			for _, r := range step.Runs {
				fmt.Fprintf(&out, "seq %d [%d,%d) pages %v", r.ID, r.From, r.To, r.Pages)
				if r.Samples() {
					tokens = append(tokens, int32(r.Generated()+1))
					fmt.Fprintf(&out, " -> %d", r.Generated()+1)
				}
				fmt.Fprintln(&out)
			}
			for _, q := range p.s.Advance(step, tokens) {
				fmt.Fprintf(&out, "seq %d done, stopped %v\n", q.ID, q.Stopped())
			}
		}
	default:
		t.Fatalf("no command %q", command)
	}
	fmt.Fprintf(&out, "waiting %d, running %d, free %d", p.s.Waiting(), p.s.Running(), p.s.pages.Free())
	if n := p.s.Preempted(); n > 0 {
		fmt.Fprintf(&out, ", preempted %d", n)
	}
	fmt.Fprintln(&out)
	return out.String()
}
