package report

import (
	"path/filepath"
	"testing"
)

// committed is the report that is in the repository.
const committed = "../../docs/results/report"

// What the repository shows of its report is what the figures there say.
func TestCommitted(t *testing.T) {
	r, err := Load(committed)
	if err != nil {
		t.Fatal(err)
	}
	const again = "bench report --from docs/results/report --out docs/results/report --readme README.md writes it again"
	readme := read(t, "..", "..", "README.md")
	if want, err := r.within(readme); err != nil {
		t.Error(err)
	} else if readme != want {
		t.Errorf("README.md: its table is not the report's: %s", again)
	}
	dir := t.TempDir()
	if err := Write(r, dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"report.md", "report.html"} {
		if svg.ReplaceAllString(read(t, committed, name), "") != svg.ReplaceAllString(read(t, dir, name), "") {
			t.Errorf("%s: %s", filepath.Join(committed, name), again)
		}
	}
}
