package report

import (
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "record testdata/report.md and report.html anew")

// drawn writes the pages of testdata/report.json, whose names are those of somebody who means harm.
func drawn(t *testing.T) (dir string) {
	t.Helper()
	r, err := Load("testdata")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := Write(r, dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// pictures are left out: the last digits of their places are the compiler's.
var svg = regexp.MustCompile(`(?s)<svg .*?</svg>`)

func TestGolden(t *testing.T) {
	dir := drawn(t)
	for _, name := range []string{"report.md", "report.html"} {
		got := svg.ReplaceAllString(read(t, dir, name), "<svg></svg>")
		golden := filepath.Join("testdata", name)
		if *rewrite {
			if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if want := read(t, golden); got != want {
			t.Errorf("%s differs from testdata; go test -rewrite records it, git diff shows it", name)
		}
	}
}

// The page is well-formed, asks for nothing, runs nothing, and shows every name as it is.
func TestPage(t *testing.T) {
	text := read(t, drawn(t), "report.html")
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "<!doctype html>")))
	d.Entity = xml.HTMLEntity
	var shown strings.Builder
	elements := map[string]int{}
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			elements[e.Name.Local]++
			for _, a := range e.Attr {
				switch name := strings.ToLower(a.Name.Local); {
				case strings.HasPrefix(name, "on"):
					t.Errorf("%s has %s=%q", e.Name.Local, a.Name.Local, a.Value)
				case name == "src", name == "href" && !strings.HasPrefix(a.Value, "#"), strings.Contains(a.Value, "url("):
					t.Errorf("%s refers to %q", e.Name.Local, a.Value)
				}
			}
		case xml.CharData:
			shown.Write(e)
		}
	}
	for _, name := range []string{"script", "img", "link", "iframe", "object", "b"} {
		if elements[name] > 0 {
			t.Errorf("the page has %d elements %s", elements[name], name)
		}
	}
	if elements["svg"] != 4 || elements["table"] < 5 {
		t.Errorf("%d pictures, %d tables", elements["svg"], elements["table"])
	}
	for _, name := range []string{"<script>alert(1)</script>", `evil </title> & "co"`, "a|b`c.txt", "<b>x</b>", "[y](javascript:alert(1))"} {
		if !strings.Contains(shown.String(), name) {
			t.Errorf("the page does not show %q", name)
		}
	}
	for _, asks := range []string{"@import", "url(", "http-equiv"} {
		if strings.Contains(text, asks) {
			t.Errorf("the page has %q", asks)
		}
	}
}

// Markdown makes of names neither links, nor elements, nor columns.
func TestMarkdown(t *testing.T) {
	text := read(t, drawn(t), "report.md")
	for _, bad := range []string{"<script", "<img", "<b>", "[y](", " *x* "} {
		if strings.Contains(text, bad) {
			t.Errorf("report.md has %q", bad)
		}
	}
	columns := 0
	bar := regexp.MustCompile(`[^\\]\|`)
	for line := range strings.Lines(text) {
		n := len(bar.FindAllString(line, -1))
		if !strings.HasPrefix(line, "|") {
			columns = 0
		} else if columns == 0 {
			columns = n
		} else if n != columns {
			t.Errorf("%d columns, want %d: %s", n, columns, line)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	whole := read(t, "testdata", "report.json")
	path := filepath.Join(t.TempDir(), "report.json")
	for _, c := range [][3]string{
		{`"format": 1`, `"format": 2`, "format 2"},
		{`"sets"`, `"sets": 1, "x"`, "cannot unmarshal"},
		{`"models"`, `"x"`, "run its bench report again"},
		{`"kl"`, `"kl": {"value": "x"}, "kl"`, "cannot unmarshal"},
		{`"quality"`, `"x"`, "has figures on 0 of 2 texts"},
		{`"prefill"`, `"x"`, "0 speeds of prefill"},
		{`"tasks": [`, `"x": [`, "was not asked its tasks"},
		{`"task": "piqa"`, `"task": "other"`, "was asked"},
		{`"acc"`, `"x"`, "no accuracy of"},
		{`"ceilings"`, `"x"`, "ceilings of 0"},
	} {
		if err := os.WriteFile(path, []byte(strings.Replace(whole, c[0], c[1], 1)), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%s for %s: error %v, want one that says %q", c[1], c[0], err, c[2])
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a report was found where none is")
	}
}

func TestReadme(t *testing.T) {
	r, err := Load("testdata")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(path, []byte("before\n"+readmeBegin+"\nold\n"+readmeEnd+"\nafter\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second changes nothing
		if err := Readme(r, path); err != nil {
			t.Fatal(err)
		}
	}
	text := read(t, path)
	if !strings.HasPrefix(text, "before\n"+readmeBegin+"\n") || !strings.HasSuffix(text, readmeEnd+"\nafter\n") || strings.Contains(text, "old") || strings.Count(text, "| W-A-KV |") != 1 {
		t.Errorf("README:\n%s", text)
	}
	for _, without := range []string{"", readmeEnd + readmeBegin} {
		if err := os.WriteFile(path, []byte(without), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := Readme(r, path); err == nil || !strings.Contains(err.Error(), readmeBegin) {
			t.Errorf("%q: error %v", without, err)
		}
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -12: "-12", -1234: "-1,234"} {
		if got := commas(v); got != want {
			t.Errorf("commas(%v) = %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0.00", 3.456: "3.46", 12.34: "12.3", 99.96: "100", 1234: "1,234"} {
		if got := digits(v); got != want {
			t.Errorf("digits(%v) = %q, want %q", v, got, want)
		}
	}
}
