package asmgen

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
)

var generate = flag.Bool("generate", false, "write the files instead of checking them")

// TestFresh holds the committed assembly to its generators.
func TestFresh(t *testing.T) {
	for name, emit := range units {
		c := build.NewContext()
		c.ConstraintExpr("!purego")
		emit(c)
		file, err := c.Result()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := pass.Compile.Execute(file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := encodeVEX(file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cfg := printer.Config{Pkg: "cpu", Argv: []string{"go", "generate", "./kernels/cpu"}}
		for _, o := range []struct {
			path string
			p    printer.Printer
		}{
			{"../../" + name + "_amd64.s", printer.NewGoAsm(cfg)},
			{"../../" + name + "_amd64.go", printer.NewStubs(cfg)},
		} {
			want, err := o.p.Print(file)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if *generate {
				if err := os.WriteFile(o.path, want, 0o666); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if got, _ := os.ReadFile(o.path); !bytes.Equal(got, want) {
				t.Errorf("%s is stale: run go generate ./kernels/cpu", o.path)
			}
		}
	}
}
