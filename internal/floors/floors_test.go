// Package floors holds the house to its plan: imports run down only.
package floors

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/llmqat/llmqat/"

// may lists, per folder of the module, which of our folders its packages may
// import besides their own; the longest matching folder holds. docs/architecture.md
// draws the same.
var may = map[string][]string{
	"kernels":        {"kernels"},
	"kernels/quant":  {},
	"kernels/fp":     {},
	"format":         {"format", "kernels/quant", "kernels/fp", "internal/filelock", "internal/long", "internal/regular", "internal/replace"},
	"runtime":        {"runtime", "kernels", "format"},
	"train":          {"train", "kernels", "format", "internal"},
	"serve":          {"serve", "runtime/engine", "runtime/sample", "format/tokenizer"},
	"eval":           {"eval", "runtime", "kernels", "format", "internal"},
	"bench":          {"bench", "eval", "runtime", "train", "kernels", "format", "internal"},
	"internal":       {"internal"},
	"internal/chart": {},
	"cmd":            {"cmd", "serve", "bench", "eval", "runtime", "train", "kernels", "format", "internal"},
}

// below reports whether pkg is folder or lies in it.
func below(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

// allowed returns the list that holds for pkg.
func allowed(pkg string) ([]string, bool) {
	for d := pkg; d != "."; d = path.Dir(d) {
		if list, ok := may[d]; ok {
			return list, true
		}
	}
	return nil, false
}

// arrow returns why the package in folder from must not import to, or "".
func arrow(from, to string) string {
	list, ok := allowed(from)
	if !ok {
		return "stands on no floor: add its folder to the plan"
	}
	for _, d := range list {
		if below(to, d) {
			return ""
		}
	}
	return "may import only " + strings.Join(list, ", ")
}

func TestImportsRunDown(t *testing.T) {
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && file != root && (name == "testdata" || name[0] == '.') {
			return fs.SkipDir
		}
		// Tests may look up and across: an end-to-end test must.
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		from := path.Dir(filepath.ToSlash(rel))
		if from == "runtime" {
			t.Errorf("%s: runtime/ holds subpackages only", rel)
		}
		src, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		files++
		for _, imp := range src.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			if to, ours := strings.CutPrefix(p, module); ours {
				if why := arrow(from, to); why != "" {
					t.Errorf("%s imports %s: %s %s", rel, to, from, why)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Fatalf("only %d source files found under %s", files, root)
	}
}

func TestArrow(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"kernels/quant", "kernels/fp", false},
		{"kernels/cpu", "kernels/quant", true},
		{"kernels/cpu", "format", false},
		{"format/qat", "kernels/quant", true},
		{"format/qat", "kernels", false},
		{"format/qat", "internal/filelock", true},
		{"format/hf", "internal/replace", true},
		{"format/qat", "internal/progress", false},
		{"serve", "runtime/engine", true},
		{"serve", "runtime/model", false},
		{"train/nn", "runtime/model", false},
		{"runtime/engine", "serve", false},
		{"cmd/bench", "bench", true},
		{"stray", "kernels", false},
	} {
		if why := arrow(c.from, c.to); (why == "") != c.ok {
			t.Errorf("%s -> %s: allowed %v, want %v (%s)", c.from, c.to, why == "", c.ok, why)
		}
	}
}
