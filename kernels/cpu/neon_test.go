package cpu

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestNEONMacros assembles the GNU form beside each macro of neon.h and compares
// it with the macro's word, for registers that show every field.
func TestNEONMacros(t *testing.T) {
	as, objcopy := "aarch64-linux-gnu-as", "aarch64-linux-gnu-objcopy"
	if _, err := exec.LookPath(as); err != nil {
		t.Skipf("%v: install binutils-aarch64-linux-gnu", err)
	}
	text, err := os.ReadFile("neon.h")
	if err != nil {
		t.Fatal(err)
	}
	define := regexp.MustCompile(`^#define (\w+)\(([^)]*)\)\s+WORD \$\(([^;]*)\)\s+// (.+)$`)
	type macro struct {
		name string
		word uint32
	}
	var macros []macro
	var source strings.Builder
	for _, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "#define") {
			continue
		}
		m := define.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("neon.h: want #define NAME(operands) WORD $(...) // the GNU form, found %q", line)
		}
		values := map[string]uint32{}
		gnu := m[4]
		for i, p := range strings.Split(m[2], ",") {
			p = strings.TrimSpace(p)
			values[p] = uint32(21 - 8*i) // 21, 13, 5, ...
			gnu = strings.ReplaceAll(gnu, "{"+p+"}", strconv.Itoa(21-8*i))
		}
		macros = append(macros, macro{m[1], orOf(t, m[3], values)})
		source.WriteString(gnu + "\n")
	}
	dir := t.TempDir()
	src, obj, bin := filepath.Join(dir, "m.s"), filepath.Join(dir, "m.o"), filepath.Join(dir, "m.bin")
	if err := os.WriteFile(src, []byte(source.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{
		{as, "-march=armv8.6-a", "-o", obj, src},
		{objcopy, "-O", "binary", "-j", ".text", obj, bin},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s%s", c, err, out, source.String())
		}
	}
	words, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	if len(words) != 4*len(macros) {
		t.Fatalf("%d bytes for %d macros", len(words), len(macros))
	}
	for i, m := range macros {
		if want := binary.LittleEndian.Uint32(words[4*i:]); m.word != want {
			t.Errorf("%s is %#08x, want %#08x", m.name, m.word, want)
		}
	}
}

// orOf evaluates a macro's word: terms joined by |, each a number or an operand,
// shifted or not.
func orOf(t *testing.T, expr string, values map[string]uint32) (word uint32) {
	for _, term := range strings.Split(expr, "|") {
		base, shift, _ := strings.Cut(strings.TrimSpace(term), "<<")
		base = strings.Trim(base, "() ")
		v, ok := values[base]
		if !ok {
			n, err := strconv.ParseUint(base, 0, 32)
			if err != nil {
				t.Fatalf("neon.h: %q in %q: %v", base, expr, err)
			}
			v = uint32(n)
		}
		if shift != "" {
			n, err := strconv.Atoi(strings.TrimSpace(shift))
			if err != nil {
				t.Fatalf("neon.h: %q in %q: %v", shift, expr, err)
			}
			v <<= n
		}
		word |= v
	}
	return word
}
