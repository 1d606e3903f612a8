package bench

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// About says what a report is of, and of when and where.
type About struct {
	Title   string    `json:"title"`
	Date    time.Time `json:"date"`
	Command string    `json:"command"`
	Version string    `json:"version"`
	Machine Machine   `json:"machine"`
	Notes   []string  `json:"notes,omitempty"` // what is missing, and why
}

func (o *Options) about(title string, rigs []*rig) About {
	a := About{
		Title: title, Date: time.Now().UTC().Truncate(time.Second), Command: strings.Join(os.Args, " "),
		Version: o.Version, Machine: rigs[0].describe(),
	}
	if rigs[0].threads == 0 {
		a.Notes = append(a.Notes, "peaks are those of mma.sync, by which the kernels multiply: on sm_90 at most 60 to 65 % of what wgmma and the datasheet have")
	}
	return a
}

// meter opens the meter of energy, or notes why there is none.
func (a *About) meter() *meter {
	if a.Machine.GPU != "" {
		a.Notes = append(a.Notes, "no energy: a GPU's is not read")
		return nil
	}
	m, err := openMeter(powercap)
	if err != nil {
		a.Notes = append(a.Notes, "no energy: "+err.Error())
	}
	return m
}

// head writes the lines above a table.
func (a *About) head(w io.Writer) {
	fmt.Fprintf(w, "%s\n%s, %s\n", a.Title, a.Machine.name(), a.Machine.Device)
	for _, c := range a.Machine.Ceilings {
		if c.gpu() {
			fmt.Fprintf(w, "read bandwidth %s, int8 mma peak %s, float16 mma peak %s\n", byteRate(c.ReadBandwidth), macRate(c.Int8Peak), macRate(c.Float16Peak))
			continue
		}
		fmt.Fprintf(w, "%s: read bandwidth %.1f GB/s, int8 peak %.0f GMAC/s (%.0f with 8-bit weights), float32 peak %.0f GMAC/s\n",
			threads(c.Threads), c.ReadBandwidth/1e9, c.Int8Peak/1e9, c.Int8W8Peak/1e9, c.Float32Peak/1e9)
	}
	fmt.Fprintln(w)
}

// foot writes the lines below a table.
func (a *About) foot(w io.Writer) {
	for _, n := range a.Notes {
		fmt.Fprintf(w, "\n%s\n", n)
	}
}

// Report is one run: the machine, and each model's figures, all measured in turn.
type Report struct {
	About
	Models []Result `json:"models"`
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
	IntegerMatmul bool    `json:"integer_matmul"` // whether Share of prefill is of the int8 or the float peak
}

// Rate is a measured speed.
type Rate struct {
	Tokens  int       `json:"tokens"`            // of the prompt, or of context before the decoded ones
	Batch   int       `json:"batch"`             // sequences together
	Threads int       `json:"threads,omitempty"` // 0: a GPU's
	PerSec  float64   `json:"tokens_per_second"` // of all of them
	All     []float64 `json:"samples"`
	Share   float64   `json:"share"`                      // of the peak (prefill) or of the read bandwidth (decode) measured beside each sample
	Joules  float64   `json:"joules_per_token,omitempty"` // of the processor's packages; 0: unknown

	ByteRate float64 `json:"bytes_per_second,omitempty"` // that a GPU's decode reads
	MACRate  float64 `json:"macs_per_second,omitempty"`  // that the linear layers of a GPU's prefill do
}

// newRate returns the medians of what was measured.
func newRate(p point, threads int, s samples) Rate {
	return Rate{Tokens: p.tokens, Batch: p.batch, Threads: threads,
		PerSec: median(s.perSec), All: s.perSec, Share: median(s.shares), Joules: median(s.joules)}
}

// median returns the middle value of v, the mean of the two where there are two.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// size prints bytes with three digits and a decimal unit.
func size(n int64) string { return digits(float64(n), "B", "kB", "MB", "GB", "TB") }

// digits prints v with three digits and the unit of units, each a thousand of the
// one before, that leaves it below a thousand.
func digits(v float64, units ...string) string {
	for ; v >= 999.5 && len(units) > 1; units = units[1:] {
		v /= 1000
	}
	return fmt.Sprintf("%.3g %s", v, units[0])
}

func byteRate(v float64) string { return digits(v, "B/s", "kB/s", "MB/s", "GB/s", "TB/s") }
func macRate(v float64) string  { return digits(v, "MAC/s", "kMAC/s", "MMAC/s", "GMAC/s", "TMAC/s") }
