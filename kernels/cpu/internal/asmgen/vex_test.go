package asmgen

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestVEX assembles the GNU form beside each instruction that the generated files
// give as bytes, and compares.
func TestVEX(t *testing.T) {
	files, err := filepath.Glob("../../*_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "testdata/evex/vpdpbusd_amd64.s")
	spelled := regexp.MustCompile(`(?m)^\tLONG \$0x([0-9a-f]{8}); BYTE \$0x([0-9a-f]{2}) // (.+)$`)
	type line struct{ path, gnu, bytes string }
	var lines []line
	var source strings.Builder
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := spelled.FindAllStringSubmatch(string(text), -1)
		if n := strings.Count(string(text), "BYTE"); n != len(found) {
			t.Errorf("%s: %d BYTEs, of which %d have a GNU form", path, n, len(found))
		}
		for _, m := range found {
			four, _ := strconv.ParseUint(m[1], 16, 32)
			last, _ := strconv.ParseUint(m[2], 16, 8)
			b := append(binary.LittleEndian.AppendUint32(nil, uint32(four)), byte(last))
			lines = append(lines, line{path, m[3], fmt.Sprintf("%#02x,%#02x,%#02x,%#02x,%#02x", b[0], b[1], b[2], b[3], b[4])})
			source.WriteString(m[3] + "\n")
		}
	}
	if len(lines) == 0 {
		t.Fatal("no instruction is given as bytes")
	}

	mc, err := exec.LookPath("llvm-mc")
	if err != nil {
		t.Skipf("%v: install llvm", err)
	}
	c := exec.Command(mc, "-triple=x86_64", "-mattr=+avxvnni", "-show-encoding")
	c.Stdin = strings.NewReader(source.String())
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("llvm-mc: %v\n%s", err, out)
	}
	want := regexp.MustCompile(`encoding: \[(.+)\]`).FindAllStringSubmatch(string(out), -1)
	if len(want) != len(lines) {
		t.Fatalf("llvm-mc: %d encodings of %d lines:\n%s", len(want), len(lines), out)
	}
	for i, l := range lines {
		if l.bytes != want[i][1] {
			t.Errorf("%s: %s is %s, want %s", l.path, l.gnu, l.bytes, want[i][1])
		}
	}
}
