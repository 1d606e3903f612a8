package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/llmqat/llmqat/internal/chart"
)

// Report is one run: the machine, and each model's figures, all measured in turn.
type Report struct {
	Title   string    `json:"title"`
	Date    time.Time `json:"date"`
	Command string    `json:"command"`
	Version string    `json:"version"`
	Machine Machine   `json:"machine"`
	Models  []Result  `json:"models"`
}

// Result is what one model reached.
type Result struct {
	Name          string  `json:"name"` // its bits, W-A-KV; after the file's name where several were given
	KVScheme      string  `json:"kv_scheme,omitempty"`
	FileBytes     int64   `json:"file_bytes"`
	WeightBytes   int64   `json:"weight_bytes_per_token"` // read for every decoded token
	KVTokenBytes  int64   `json:"kv_bytes_per_token"`     // kept for every token of context
	MACs          int64   `json:"linear_macs_per_prompt_token"`
	Startup       Startup `json:"startup"`
	DiskReads     int64   `json:"major_page_faults"` // while sampled; where there are many, memory was too small for all files
	Prefill       []Rate  `json:"prefill"`
	Decode        []Rate  `json:"decode"`
	IntegerMatmul bool    `json:"integer_matmul"` // whether Share of prefill is of the int8 or the float32 peak
}

// Rate is a measured speed.
type Rate struct {
	Tokens int       `json:"tokens"`            // of the prompt, or of context before the decoded ones
	Batch  int       `json:"batch"`             // sequences together
	PerSec float64   `json:"tokens_per_second"` // of all of them
	All    []float64 `json:"samples"`
	Share  float64   `json:"share"` // of the peak (prefill) or of the read bandwidth (decode) measured beside each sample
}

// newRate returns the medians of tokens/s and of shares.
func newRate(tokens, batch int, s samples) Rate {
	return Rate{tokens, batch, median(s.perSec), s.perSec, median(s.shares)}
}

// decode names what r measured.
func (r Rate) decode() string {
	name := fmt.Sprintf("decode at %d", r.Tokens)
	if r.Batch > 1 {
		name += fmt.Sprintf(", batch %d", r.Batch)
	}
	return name
}

// median returns the middle value of v, the mean of the two where there are two.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// JSON writes the report, indented.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// fewReads are the pages that any process may have to read from disk.
const fewReads = 100

// Table writes the report for people.
func (r *Report) Table(w io.Writer) error {
	m := &r.Machine
	fmt.Fprintf(w, "%s\n%s, %s, %s; read bandwidth %.1f GB/s, int8 peak %.0f GMAC/s, float32 peak %.0f GMAC/s\n\n",
		r.Title, m.CPU, m.Device, m.threads(), m.ReadBandwidth/1e9, m.Int8Peak/1e9, m.Float32Peak/1e9)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, cell func(m *Result) string) {
		fmt.Fprintf(t, "%s\t", name)
		for i := range r.Models {
			fmt.Fprintf(t, "%s\t", cell(&r.Models[i]))
		}
		fmt.Fprintln(t)
	}
	first := &r.Models[0]
	against := func(v, base float64) string {
		if v == base || base == 0 {
			return ""
		}
		return fmt.Sprintf(" %5.2fx", v/base)
	}
	row("", func(m *Result) string { return strings.TrimSpace(m.Name + " " + m.KVScheme) })
	row("file", func(m *Result) string { return size(m.FileBytes) })
	row("weights read a token", func(m *Result) string { return size(m.WeightBytes) })
	row("KV cache a token", func(m *Result) string { return size(m.KVTokenBytes) })
	row("resident at first token", func(m *Result) string { return size(m.Startup.Resident) })
	row("start to first token", func(m *Result) string {
		return m.Startup.FirstToken.Round(time.Millisecond).String()
	})
	if slices.ContainsFunc(r.Models, func(m Result) bool { return m.DiskReads > fewReads }) {
		row("pages read from disk", func(m *Result) string { return fmt.Sprint(m.DiskReads) })
	}
	for i, p := range first.Prefill {
		row(fmt.Sprintf("prefill %d, tokens/s", p.Tokens), func(m *Result) string {
			return fmt.Sprintf("%.1f%s", m.Prefill[i].PerSec, against(m.Prefill[i].PerSec, p.PerSec))
		})
		row("share of peak", func(m *Result) string {
			return fmt.Sprintf("%.0f %% of %s", 100*m.Prefill[i].Share, m.peakName())
		})
	}
	for i, d := range first.Decode {
		row(d.decode()+", tokens/s", func(m *Result) string {
			return fmt.Sprintf("%.1f%s", m.Decode[i].PerSec, against(m.Decode[i].PerSec, d.PerSec))
		})
		row("share of bandwidth", func(m *Result) string {
			if m.Decode[i].Share > 1 {
				return fmt.Sprintf("from caches, %.0f %%", 100*m.Decode[i].Share)
			}
			return fmt.Sprintf("%.0f %%", 100*m.Decode[i].Share)
		})
	}
	return t.Flush()
}

func (m *Result) peakName() string {
	if m.IntegerMatmul {
		return "int8"
	}
	return "float32"
}

// Chart draws prefill and decode of every model, each with its limit. format is
// "svg" or "png".
func (r *Report) Chart(w io.Writer, format string) error {
	var panels []chart.Panel
	first := &r.Models[0]
	panel := func(title, of string, rate func(m *Result) Rate) {
		p := chart.Panel{Title: title}
		for i := range r.Models {
			m := &r.Models[i]
			v := rate(m)
			bar := chart.Bar{Name: m.Name, Value: v.PerSec}
			peak := of
			if peak == "" {
				peak = m.peakName() + " peak"
			}
			if v.Share > 0 {
				bar.Limit = v.PerSec / v.Share
				bar.Note = fmt.Sprintf("%.0f %% of %s", 100*v.Share, peak)
			}
			p.Bars = append(p.Bars, bar)
		}
		panels = append(panels, p)
	}
	for i, d := range first.Decode {
		panel(d.decode()+", tokens/s", "read bandwidth",
			func(m *Result) Rate { return m.Decode[i] })
	}
	for i, p := range first.Prefill {
		panel(fmt.Sprintf("prefill of %d tokens, tokens/s", p.Tokens), "", func(m *Result) Rate { return m.Prefill[i] })
	}
	title := fmt.Sprintf("%s: %s, %s", r.Title, r.Machine.CPU, r.Machine.threads())
	return chart.Bars(w, format, title, panels)
}

// size prints bytes with three digits and a decimal unit.
func size(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	v, u := float64(n), 0
	for v >= 999.5 && u < len(units)-1 {
		v, u = v/1000, u+1
	}
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.3g %s", v, units[u])
}

// CheckOut makes the folder of Save's files, and says whether they can be written:
// before anything is measured.
func CheckOut(base string) error {
	if err := os.MkdirAll(filepath.Dir(base), 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(base), filepath.Base(base)+".tmp*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Save writes base.json, base.svg and base.txt, each through a temporary file.
func (r *Report) Save(base string) error {
	for ext, write := range map[string]func(w io.Writer) error{
		".json": r.JSON,
		".txt":  r.Table,
		".svg":  func(w io.Writer) error { return r.Chart(w, "svg") },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return err
		}
		if err := replaceFile(base+ext, b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// replaceFile writes a file as temporary, fsync and rename.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
