package chart

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Curves is one panel of lines over an axis. LogY draws values, which are then
// above 0, on a logarithmic axis.
type Curves struct {
	Title string // what is drawn and its unit
	Lines []Line
	LogY  bool
	X     string // the axis's name, where it is not the picture's
}

// Line is one series. Its colour is that of its place in the panel.
type Line struct {
	Name string
	X, Y []float64
}

const curvesHeight = 2.2 * vg.Inch

// Lines draws panels one below the other over an axis named x. format is "svg" or "png".
func Lines(w io.Writer, format, title, x string, panels []Curves) error {
	height := top(title) + curvesHeight*vg.Length(len(panels))
	canvas, dc, err := newPicture(format, title, height)
	if err != nil {
		return err
	}
	at := height - top(title)
	for _, p := range panels {
		if err := p.draw(draw.Crop(dc, 0.1*vg.Inch, -0.2*vg.Inch, at-curvesHeight, at-height), x); err != nil {
			return err
		}
		at -= curvesHeight
	}
	_, err = canvas.WriteTo(w)
	return err
}

func (p Curves) draw(dc draw.Canvas, x string) error {
	if p.X != "" {
		x = p.X
	}
	pl := plot.New()
	pl.BackgroundColor = color.Transparent
	pl.Title.Text, pl.Title.TextStyle = p.Title, style(10, draw.XCenter, draw.YTop)
	pl.X.Label.Text, pl.X.Label.TextStyle = x, style(9, draw.XCenter, draw.YBottom)
	pl.X.Tick.Label, pl.Y.Tick.Label = style(9, draw.XCenter, draw.YTop), style(9, draw.XRight, draw.YCenter)
	// The legend takes the height above the bottom of a line's alignment for that of a line.
	pl.Legend.Top, pl.Legend.TextStyle, pl.Legend.Padding = true, style(9, draw.XLeft, draw.YBottom), vg.Points(2)
	if p.LogY {
		pl.Y.Scale, pl.Y.Tick.Marker = plot.LogScale{}, logTicks{}
	}
	for i, l := range p.Lines {
		if len(l.X) != len(l.Y) || len(l.X) == 0 {
			return fmt.Errorf("chart: line %q of %q: %d places for %d values", l.Name, p.Title, len(l.X), len(l.Y))
		}
		xys := make(plotter.XYs, len(l.X))
		for j := range xys {
			if bad(l.Y[j]) || p.LogY && l.Y[j] == 0 {
				return fmt.Errorf("chart: line %q of %q: value %v", l.Name, p.Title, l.Y[j])
			}
			xys[j].X, xys[j].Y = l.X[j], l.Y[j]
		}
		line, err := plotter.NewLine(xys)
		if err != nil {
			return err
		}
		line.Color, line.Width = colour(i+1), vg.Points(1.2)
		pl.Add(line)
		if l.Name != "" {
			pl.Legend.Add(l.Name, line)
		}
	}
	if p.LogY && pl.Y.Min == pl.Y.Max { // an axis of no length is made longer by a number, which may end below 0
		pl.Y.Min, pl.Y.Max = pl.Y.Min/2, pl.Y.Max*2
	}
	pl.Draw(dc)
	return nil
}

// logTicks labels decades or, where an axis has not two of them, numbers that begin with 1, 2 or
// 5 or, where it has not three of these, numbers at equal distances.
type logTicks struct{}

func (logTicks) Ticks(low, high float64) []plot.Tick {
	first, last := math.Ceil(math.Log10(low)), math.Floor(math.Log10(high))
	if last > first {
		return plot.LogTicks{Prec: -1}.Ticks(low, high)
	}
	var ticks []plot.Tick
	for decade := first - 1; decade <= last; decade++ {
		for _, digit := range []float64{1, 2, 5} {
			if v := digit * math.Pow(10, decade); v >= low && v <= high {
				ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 3, 64)})
			}
		}
	}
	if len(ticks) < 3 {
		ticks = plot.DefaultTicks{}.Ticks(low, high)
	}
	return slices.DeleteFunc(ticks, func(t plot.Tick) bool { return t.Value < low || t.Value > high })
}
