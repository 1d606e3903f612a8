package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What was measured before is drawn again, and a README's block with it; flags also come as variables.
func TestReportFrom(t *testing.T) {
	out, readme := t.TempDir(), filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(readme, []byte("<!-- report:begin -->\n<!-- report:end -->\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LLMQAT_BENCH_REPORT_OUT", out)
	if _, err := runReport(t.Context(), []string{"--from", "../../bench/report/testdata", "--readme", readme}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil || !strings.Contains(string(page), "FP16") {
		t.Errorf("%v, a page of %d bytes", err, len(page))
	}
	if b, _ := os.ReadFile(readme); !strings.Contains(string(b), "| FP16 |") {
		t.Errorf("README: %s", b)
	}
}

func TestReportRefuses(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	for want, args := range map[string]string{
		"--teacher":      "--out " + out,
		"can't be used":  "--from a --teacher b --out " + out,
		"leave --models": "--from a --student b.qat --out " + out,
		"no text":        "--teacher b --out " + out,
	} {
		if _, err := runReport(t.Context(), strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that says %q", args, err, want)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a refused command made its folder")
	}
}

func TestCommand(t *testing.T) {
	t.Setenv("LLMQAT_TESTDATA", "/some/where")
	if got := command([]string{"bench", "report", "--text", "/some/where/a.txt"}); got != "bench report --text $LLMQAT_TESTDATA/a.txt" {
		t.Errorf("the command is %q", got)
	}
}
