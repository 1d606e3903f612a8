package train

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/llmqat/llmqat/internal/chart"
	"github.com/llmqat/llmqat/internal/replace"
)

// draw makes the run's pictures of what its log says so far: curves.svg, and in the
// end curves.png.
func (r *run) draw(last bool) error {
	if r.noCurves {
		return nil
	}
	lines, err := ReadLog(filepath.Join(r.Dir, logName))
	if err != nil {
		return err
	}
	panels, formats := curves(lines), []string{"svg"}
	if last {
		formats = append(formats, "png")
	}
	for _, format := range formats {
		err := replace.File(filepath.Join(r.Dir, "curves."+format), func(w io.Writer) error {
			return chart.Lines(w, format, fmt.Sprintf("%v, KV scheme %s", r.c.Quantization.Bits, r.c.Quantization.KVScheme), "step", panels)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// curves are a log's lines as pictures have them: a panel for each number, without
// values that a logarithm cannot take.
func curves(lines []Line) []chart.Curves {
	series := func(name string, held bool, value func(l Line) float64) chart.Line {
		c := chart.Line{Name: name}
		for _, l := range lines {
			if v := value(l); l.Held == held && v > 0 && v < 1e30 {
				c.X, c.Y = append(c.X, float64(l.Step)), append(c.Y, v)
			}
		}
		return c
	}
	var panels []chart.Curves
	add := func(title string, log bool, lines ...chart.Line) {
		p := chart.Curves{Title: title, LogY: log}
		for _, l := range lines {
			if len(l.X) > 0 {
				p.Lines = append(p.Lines, l)
			}
		}
		if len(p.Lines) > 0 {
			panels = append(panels, p)
		}
	}
	kl := func(l Line) float64 { return l.KL }
	add("KL to the teacher, nats a token", true, series("training", false, kl), series("held-out", true, kl), series("held-out, as served", true, func(l Line) float64 {
		if l.Served == nil {
			return 0
		}
		return l.Served.KL
	}))
	add("perplexity of held-out text", false, series("student", true, func(l Line) float64 { return l.Perplexity }), series("teacher", true, func(l Line) float64 { return l.TeacherPPL }))
	add("same likeliest token, part of held-out ones", false, series("", true, func(l Line) float64 { return l.Agreement }))
	layers := func(of string, value func(e *Errors) []float64) {
		var list []chart.Line
		for _, i := range someLayers(lines, value) {
			list = append(list, series(fmt.Sprintf("layer %d", i), true, func(l Line) float64 {
				if e := value(&l.Errors); i < len(e) {
					return e[i]
				}
				return 0
			}))
		}
		add("rounding error of "+of+", part of their squares", true, list...)
	}
	layers("the weights", func(e *Errors) []float64 { return e.Weights })
	layers("activations", func(e *Errors) []float64 { return e.Activations })
	layers("K and V", func(e *Errors) []float64 { return e.KV })
	add("length of the gradient", true, series("", false, func(l Line) float64 { return l.GradNorm }))
	add("learning rate", false, series("", false, func(l Line) float64 { return l.LearningRate }))
	return panels
}

// shownLayers is how many lines of a panel can be told apart.
const shownLayers = 6

// someLayers returns all layers that a log has values of or, where those are many, the
// first, the last and some between.
func someLayers(lines []Line, value func(e *Errors) []float64) []int {
	n := 0
	for i := range lines {
		n = max(n, len(value(&lines[i].Errors)))
	}
	show := min(n, shownLayers)
	list := make([]int, show)
	for i := range list {
		list[i] = i * (n - 1) / max(show-1, 1)
	}
	return list
}
