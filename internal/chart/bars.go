// Package chart draws the project's pictures as SVG or PNG with gonum/plot.
package chart

import (
	"cmp"
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Panel is one group of horizontal bars that share a unit.
type Panel struct {
	Title string // what is measured and its unit
	Bars  []Bar
}

// Bar is one value of a panel. Limit, where positive, is the most that the machine
// allows: it is drawn as a tick on the bar's scale; Error is the value's standard error. Label
// stands behind the bar, the number where it is "", and Note behind that. Bars
// with the same Colour, 1 and up, look the same; with 0 each has its own.
type Bar struct {
	Name         string
	Value, Limit float64
	Error        float64
	Label, Note  string
	Colour       int
}

// palette is readable on white and for the colour-blind (Okabe and Ito).
var palette = []color.Color{
	color.RGBA{0x99, 0x99, 0x99, 0xff},
	color.RGBA{0x00, 0x72, 0xb2, 0xff},
	color.RGBA{0xd5, 0x5e, 0x00, 0xff},
	color.RGBA{0x00, 0x9e, 0x73, 0xff},
	color.RGBA{0xcc, 0x79, 0xa7, 0xff},
	color.RGBA{0x56, 0xb4, 0xe9, 0xff},
	color.RGBA{0xe6, 0x9f, 0x00, 0xff},
	color.RGBA{0x33, 0x33, 0x33, 0xff},
}

// Colours is how many there are.
var Colours = len(palette)

// colour is number i of the palette, from 0; there are as many as it has, again and again.
func colour(i int) color.Color { return palette[i%len(palette)] }

// Hex spells colour i as a page does.
func Hex(i int) string {
	r, g, b, _ := colour(i).RGBA()
	return fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8)
}

var sans = font.Font{Typeface: "Liberation", Variant: "Sans"}

const (
	barHeight = 0.26 * vg.Inch
	panelPad  = 0.55 * vg.Inch
)

// wide is how wide a picture is: one without a title is a part of a page, which has headings
// of its own, and narrow enough to be read on a phone.
func wide(title string) vg.Length {
	if title == "" {
		return 4.8 * vg.Inch
	}
	return 7.2 * vg.Inch
}

// top is the height of the title.
func top(title string) vg.Length {
	if title == "" {
		return 0
	}
	return 0.4 * vg.Inch
}

// Bars draws panels one below the other. format is "svg" or "png".
func Bars(w io.Writer, format, title string, panels []Panel) error {
	height := top(title)
	for _, p := range panels {
		height += panelHeight(p)
	}
	canvas, dc, err := newPicture(format, title, height)
	if err != nil {
		return err
	}
	at := height - top(title)
	for _, p := range panels {
		h := panelHeight(p)
		if err := p.draw(draw.Crop(dc, 0, 0, at-h, at-height)); err != nil {
			return err
		}
		at -= h
	}
	_, err = canvas.WriteTo(w)
	return err
}

func panelHeight(p Panel) vg.Length { return barHeight*vg.Length(len(p.Bars)) + panelPad }

// newPicture returns a white canvas with a title. Without one it is transparent, for a page
// to give it its own ground.
func newPicture(format, title string, height vg.Length) (vg.CanvasWriterTo, draw.Canvas, error) {
	canvas, err := newCanvas(format, wide(title), height)
	if err != nil {
		return nil, draw.Canvas{}, err
	}
	dc := draw.New(canvas)
	if title == "" {
		return canvas, dc, nil
	}
	dc.SetColor(color.White)
	dc.Fill(dc.Rectangle.Path())
	dc.FillText(style(12, draw.XLeft, draw.YCenter), vg.Point{X: 0.1 * vg.Inch, Y: height - top(title)/2}, title)
	return canvas, dc, nil
}

func newCanvas(format string, w, h vg.Length) (vg.CanvasWriterTo, error) {
	switch format {
	case "svg":
		return vgsvg.New(w, h), nil
	case "png":
		return vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(w, h), vgimg.UseDPI(144))}, nil
	}
	return nil, fmt.Errorf("chart: format %q: want svg or png", format)
}

func style(size vg.Length, x text.XAlignment, y text.YAlignment) text.Style {
	return text.Style{
		Color: color.Black, Font: font.From(sans, size),
		XAlign: x, YAlign: y, Handler: plot.DefaultTextHandler,
	}
}

// draw draws the panel: names left, bars to scale, values behind them.
func (p Panel) draw(dc draw.Canvas) error {
	pl := plot.New()
	pl.BackgroundColor = color.Transparent
	var names []string
	most := 0.0
	for i := len(p.Bars) - 1; i >= 0; i-- { // gonum counts from the bottom
		b := p.Bars[i]
		if bad(b.Value) || bad(b.Limit) || bad(b.Error) {
			return fmt.Errorf("chart: bar %q of %q: value %v ± %v, limit %v", b.Name, p.Title, b.Value, b.Error, b.Limit)
		}
		names = append(names, b.Name)
		most = max(most, b.end())
	}
	for i := range names {
		b := p.Bars[len(p.Bars)-1-i]
		bar, err := plotter.NewBarChart(plotter.Values{b.Value}, barHeight*0.7)
		if err != nil {
			return err
		}
		bar.Horizontal, bar.XMin = true, float64(i)
		place := len(p.Bars) - 1 - i
		if b.Colour > 0 {
			place = b.Colour
		}
		bar.Color, bar.LineStyle.Width = colour(place), 0
		pl.Add(bar)
		if b.Error > 0 {
			low, high, y := max(0, b.Value-b.Error), b.Value+b.Error, float64(i)
			for _, l := range []plotter.XYs{{{X: low, Y: y}, {X: high, Y: y}}, {{X: low, Y: y - 0.15}, {X: low, Y: y + 0.15}}, {{X: high, Y: y - 0.15}, {X: high, Y: y + 0.15}}} {
				whisker, err := plotter.NewLine(l)
				if err != nil {
					return err
				}
				pl.Add(whisker)
			}
		}
		if b.Limit > 0 {
			tick, err := plotter.NewLine(plotter.XYs{{X: b.Limit, Y: float64(i) - 0.4}, {X: b.Limit, Y: float64(i) + 0.4}})
			if err != nil {
				return err
			}
			tick.Width = vg.Points(1.5)
			pl.Add(tick)
		}
		behind, err := plotter.NewLabels(plotter.XYLabels{
			XYs:    plotter.XYs{{X: b.end(), Y: float64(i)}},
			Labels: []string{b.label()},
		})
		if err != nil {
			return err
		}
		behind.Offset.X = vg.Points(4)
		behind.TextStyle[0] = style(9, draw.XLeft, draw.YCenter)
		pl.Add(behind)
	}
	pl.NominalY(names...)
	pl.Y.Tick.Label = style(9, draw.XRight, draw.YCenter)
	pl.X.Min, pl.X.Max = 0, max(most, 1e-9)*1.55
	pl.Y.Min, pl.Y.Max = -0.6, float64(len(names))-0.4
	pl.HideX()
	title := vg.Point{X: dc.Min.X + 0.1*vg.Inch, Y: dc.Max.Y - 0.25*vg.Inch}
	dc.FillText(style(10, draw.XLeft, draw.YCenter), title, p.Title)
	pl.Draw(draw.Crop(dc, 0.1*vg.Inch, 0, 0, -0.4*vg.Inch))
	return nil
}

// end is how far a bar reaches, with its tick and error.
func (b *Bar) end() float64 { return max(b.Value+b.Error, b.Limit) }

func (b *Bar) label() string {
	s := cmp.Or(b.Label, number(b.Value))
	if b.Note != "" {
		s += ", " + b.Note
	}
	return s
}

func bad(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) || v < 0 }

// number prints v with about three digits.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
