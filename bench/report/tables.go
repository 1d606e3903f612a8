package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/llmqat/llmqat/bench"
	"github.com/llmqat/llmqat/eval"
)

// Table is one of a report's, for the page and for Markdown alike.
type Table struct {
	Title   string
	Columns []Column
	Rows    []Row
}

// Column is the head of one. Noted says that values have notes, which stand in line too.
type Column struct {
	Name  string
	Noted bool
}

// Row is a model of a table.
type Row struct {
	Name   string
	Colour int // of the model in the pictures
	Strong bool
	Cells  []Cell
}

// Cell is a value with what stands smaller behind it: its standard error, or a ratio.
type Cell struct{ Value, Note string }

func (c Cell) String() string {
	if c.Note == "" {
		return c.Value
	}
	return c.Value + " " + c.Note
}

// tables are those of a set: the summary first.
func (s *Set) tables() []Table {
	list := []Table{s.summary(), s.sizes(), s.speeds()}
	for i := range s.Texts {
		list = append(list, s.qualities(i))
	}
	return append(list, s.answered()...)
}

// table makes one of columns, each with what it says of model i.
func (s *Set) table(title string, columns ...column) Table {
	t := Table{Title: title}
	for _, c := range columns {
		t.Columns = append(t.Columns, Column{Name: c.name})
	}
	for i, m := range s.Models {
		r := Row{Name: m.Name, Colour: i, Strong: m.Method == "qat"}
		for j, c := range columns {
			cell := c.cell(i)
			r.Cells = append(r.Cells, cell)
			t.Columns[j].Noted = t.Columns[j].Noted || cell.Note != ""
		}
		t.Rows = append(t.Rows, r)
	}
	return t
}

type column struct {
	name string
	cell func(i int) Cell
}

func (s *Set) summary() Table {
	return s.table("At a glance, speeds in tokens/s", append(s.figures(), s.average()...)...)
}

// figures are the columns that say most.
func (s *Set) figures() []column {
	return append([]column{s.file(), s.kvBytes(), s.decodes(), s.batches(), s.prefills()}, s.quality(0)...)
}

func (s *Set) sizes() Table {
	largest := 0.0
	for _, m := range s.Speed.Models {
		largest = max(largest, float64(max(m.FileBytes, m.WeightBytes, m.Startup.Resident)))
	}
	unit, divisor := unitOf(largest)
	bytes := func(name string, of func(m *bench.Result) int64) column {
		return column{name + ", " + unit, func(i int) Cell { return Cell{Value: digits(float64(of(&s.Speed.Models[i])) / divisor)} }}
	}
	steps := []column{}
	if slices.ContainsFunc(s.Models, func(m Model) bool { return m.Steps > 0 }) {
		steps = append(steps, column{"steps of training", func(i int) Cell {
			if n := s.Models[i].Steps; n > 0 {
				return Cell{Value: commas(float64(n))}
			}
			return Cell{Value: "–"}
		}})
	}
	return s.table("Size and memory", append([]column{
		bytes("file", func(m *bench.Result) int64 { return m.FileBytes }),
		bytes("weights read a token", func(m *bench.Result) int64 { return m.WeightBytes }),
		bytes("resident at the first token", func(m *bench.Result) int64 { return m.Startup.Resident }),
		{"start to first token, ms", func(i int) Cell {
			return Cell{Value: digits(s.Speed.Models[i].Startup.FirstToken.Seconds() * 1000)}
		}},
		{"KV cache", func(i int) Cell {
			if m := s.Models[i]; m.KVScheme != "" {
				return Cell{Value: m.KVScheme}
			}
			return Cell{Value: "float"}
		}},
		s.kvBytes(),
		{"tokens in 1 GiB of KV cache", func(i int) Cell {
			return Cell{Value: commas(float64(1<<30) / float64(s.Speed.Models[i].KVTokenBytes))}
		}},
		{"lm_head, bits", func(i int) Cell { return Cell{Value: fmt.Sprint(s.Models[i].LMHeadBits)} }},
	}, steps...)...)
}

func (s *Set) speeds() Table {
	share := func(of func(m *bench.Result) bench.Rate) func(i int) Cell {
		return func(i int) Cell { return Cell{Value: fmt.Sprintf("%.0f %%", 100*of(&s.Speed.Models[i]).Share)} }
	}
	spread := func(of func(m *bench.Result) bench.Rate) column {
		return column{"lowest to highest", func(i int) Cell {
			low, high := math.Inf(1), 0.0
			for _, v := range of(&s.Speed.Models[i]).All {
				low, high = min(low, v), max(high, v)
			}
			return Cell{Value: commas(low) + "–" + commas(high)}
		}}
	}
	peak := func(i int) Cell {
		m := &s.Speed.Models[i]
		name := "float"
		if m.IntegerMatmul {
			name = "int8"
		}
		return Cell{fmt.Sprintf("%.0f %%", 100*m.Prefill[0].Share), name}
	}
	return s.table("Speed in tokens/s: medians, and the lowest to highest sample",
		s.decodes(), spread(decodeOne), column{"of read bandwidth", share(decodeOne)},
		s.batches(), spread(decodeBatch),
		s.prefills(), spread(prefill), column{"of the multipliers' peak", peak})
}

func (s *Set) qualities(text int) Table {
	of := func(i int) *eval.Comparison { return s.Models[i].Quality[text].Comparison }
	c := s.quality(text)
	return s.table("Quality on "+s.Texts[text].Name,
		c[0],
		column{"ln of the ratio to the teacher's", func(i int) Cell { return estimate(of(i).DeltaNLL, 1, 4, "") }},
		c[1],
		column{"99 % of tokens below", func(i int) Cell { return Cell{Value: fmt.Sprintf("%.3f", of(i).KL99)} }},
		c[2],
		column{"RMS of Δp, %", func(i int) Cell { return estimate(of(i).RMSDeltaP, 100, 2, "") }},
	)
}

// quality are the columns that most is read from.
func (s *Set) quality(text int) []column {
	of := func(i int) *eval.Result { return &s.Models[i].Quality[text].Result }
	return []column{
		{"perplexity", func(i int) Cell { return estimate(of(i).Perplexity, 1, 3, "") }},
		{"KL to the teacher", func(i int) Cell { return estimate(of(i).KL, 1, 4, "") }},
		{"same first, %", func(i int) Cell { return estimate(of(i).Top1, 100, 2, "") }},
	}
}

func (s *Set) file() column {
	largest := 0.0
	for _, m := range s.Speed.Models {
		largest = max(largest, float64(m.FileBytes))
	}
	unit, divisor := unitOf(largest)
	return column{"file, " + unit, func(i int) Cell { return Cell{Value: digits(float64(s.Speed.Models[i].FileBytes) / divisor)} }}
}

func (s *Set) kvBytes() column {
	return column{"KV bytes a token", func(i int) Cell { return Cell{Value: commas(float64(s.Speed.Models[i].KVTokenBytes))} }}
}

func decodeOne(m *bench.Result) bench.Rate   { return m.Decode[0] }
func decodeBatch(m *bench.Result) bench.Rate { return m.Decode[1] }
func prefill(m *bench.Result) bench.Rate     { return m.Prefill[0] }

func (s *Set) decodes() column {
	return s.rate(fmt.Sprintf("decode at %d", s.Speed.Context), decodeOne)
}
func (s *Set) batches() column {
	return s.rate(fmt.Sprintf("%d sequences", s.Speed.Batch), decodeBatch)
}
func (s *Set) prefills() column { return s.rate(fmt.Sprintf("prefill %d", s.Speed.Prompt), prefill) }

// rate is a column of speeds, with their ratios to the first model's.
func (s *Set) rate(name string, of func(m *bench.Result) bench.Rate) column {
	base := of(&s.Speed.Models[0]).PerSec
	return column{name, func(i int) Cell {
		v := of(&s.Speed.Models[i]).PerSec
		c := Cell{Value: speed3(v)}
		if i > 0 && base > 0 {
			c.Note = fmt.Sprintf("%.2f×", v/base)
		}
		return c
	}}
}

// estimate prints v with decimals of its standard error too.
func estimate(v eval.Estimate, scale float64, decimals int, unit string) Cell {
	least := math.Pow(10, -float64(decimals))
	x := v.Value * scale
	if x != 0 && math.Abs(x) < least/2 {
		return Cell{Value: fmt.Sprintf("< %.*f", decimals, least)}
	}
	c := Cell{Value: fmt.Sprintf("%.*f%s", decimals, x, unit)}
	if v.SE > 0 {
		c.Note = fmt.Sprintf("± %.*f", decimals, max(v.SE*scale, least))
	}
	return c
}

// unitOf is the unit in which largest has one to three digits before the point, and its bytes.
func unitOf(largest float64) (string, float64) {
	switch {
	case largest >= 999.5e6:
		return "GB", 1e9
	case largest >= 999.5e3:
		return "MB", 1e6
	}
	return "kB", 1e3
}

// digits prints v with three digits, in a column of one unit.
func digits(v float64) string {
	switch {
	case v >= 99.95:
		return commas(v)
	case v >= 9.995:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// speed3 prints tokens a second.
func speed3(v float64) string {
	if v >= 999.5 {
		return commas(v)
	}
	return fmt.Sprintf("%.1f", v)
}

// commas prints a whole number in groups of three digits.
func commas(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
