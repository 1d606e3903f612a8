package asmgen

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/klauspost/cpuid/v2"
)

// TestAVXVNNIByEVEX runs AVX-VNNI's table where there is no AVX-VNNI: the tests of
// package cpu with the committed loops, of which only the encoding of VPDPBUSD is
// AVX-512 VL's, and of the instruction itself, which testdata/evex defines.
func TestAVXVNNIByEVEX(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and tests a package")
	}
	if !cpuid.CPU.Supports(cpuid.AVX512F, cpuid.AVX512VL, cpuid.AVX512VNNI) {
		t.Skip("no AVX-512 VNNI")
	}
	abs := func(path string) string {
		p, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	overlay := struct{ Replace map[string]string }{map[string]string{
		abs("../../avxvnni_evex_test.go"):  abs("testdata/evex/avxvnni_test.go"),
		abs("../../vpdpbusd_evex_amd64.s"): abs("testdata/evex/vpdpbusd_amd64.s"),
	}}
	files, err := filepath.Glob("../../*_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	vex := regexp.MustCompile(`LONG \$0x.+ // \{vex\} vpdpbusd %ymm(\d+), %ymm(\d+), %ymm(\d+)`)
	dir := t.TempDir()
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !vex.Match(text) {
			continue
		}
		to := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(to, vex.ReplaceAll(text, []byte("VPDPBUSD Y$1, Y$2, Y$3")), 0o666); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[abs(path)] = to
	}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, list, 0o666); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("go", "test", "-short", "-v", "-overlay", file,
		"-run", "^(TestVPDPBUSD|TestDots|TestDotKernels|TestLinear|TestPeakLoops|TestRandomLoops|TestRandomShapes|TestAttention)$/^(avxvnni|seed.*)?$", "../..")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"PASS: TestVPDPBUSD ", "PASS: TestDots/avxvnni ", "PASS: TestLinear/avxvnni "} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
