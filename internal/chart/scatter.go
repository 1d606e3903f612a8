package chart

import (
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Scatter is a picture of points over two axes. Values on a logarithmic axis are above 0.
type Scatter struct {
	X, Y       string // the axes' names
	LogX, LogY bool
	Points     []Point
	Lines      []Limit
	Keys       []Key
}

// Point is one of a scatter. Its Name stands beside it where there is room, its standard
// error is a bar.
type Point struct {
	Name        string
	X, Y, Error float64
	Colour      int
	Shape       Shape
}

// Limit is a line that points are held against, its Name written along it.
type Limit struct {
	Name string
	X, Y [2]float64
}

// Key is an entry of the legend: a colour, or a shape in black.
type Key struct {
	Name   string
	Colour int
	Shape  Shape
	Black  bool
}

// Shape is how a point looks.
type Shape int

// The shapes there are.
const (
	Dot Shape = iota
	Square
	Triangle
)

const (
	scatterHeight = 3.4 * vg.Inch
	keyHeight     = 14
	glyphRadius   = 4
)

// Points draws one scatter. format is "svg" or "png".
func Points(w io.Writer, format, title string, s Scatter) error {
	if err := s.check(); err != nil {
		return err
	}
	rows := s.rows(wide(title))
	legend := vg.Length(len(rows)+1) * keyHeight // and the name of Y, which is easier to read so than upright
	height := top(title) + legend + scatterHeight
	canvas, dc, err := newPicture(format, title, height)
	if err != nil {
		return err
	}
	for i, row := range rows {
		y := dc.Max.Y - top(title) - (vg.Length(i)+0.5)*keyHeight
		for _, k := range row {
			dc.DrawGlyph(k.glyph(), vg.Point{X: k.at + glyphRadius, Y: y})
			dc.FillText(style(9, draw.XLeft, draw.YCenter), vg.Point{X: k.at + 3*glyphRadius, Y: y}, k.Name)
		}
	}
	dc.FillText(style(9, draw.XLeft, draw.YCenter), vg.Point{X: 0.1 * vg.Inch, Y: dc.Max.Y - top(title) - legend + keyHeight/2}, s.Y)
	pl := plot.New()
	pl.BackgroundColor = color.Transparent
	pl.X.Label.Text, pl.X.Label.TextStyle = s.X, style(9, draw.XCenter, draw.YBottom)
	pl.X.Tick.Label, pl.Y.Tick.Label = style(9, draw.XCenter, draw.YTop), style(9, draw.XRight, draw.YCenter)
	s.axis(&pl.X, s.LogX, func(p Point) (low, high float64) { return p.X, p.X }, func(l Limit) [2]float64 { return l.X })
	s.axis(&pl.Y, s.LogY, func(p Point) (low, high float64) { return p.Y - p.Error, p.Y + p.Error }, func(l Limit) [2]float64 { return l.Y })
	pl.Add(&s)
	pl.Draw(draw.Crop(dc, 0.1*vg.Inch, -0.2*vg.Inch, 0.05*vg.Inch, -top(title)-legend-0.05*vg.Inch))
	_, err = canvas.WriteTo(w)
	return err
}

func (s *Scatter) check() error {
	if len(s.Points) == 0 {
		return fmt.Errorf("chart: %s over %s: no points", s.Y, s.X)
	}
	wrong := func(x, y float64) bool { return bad(x) || bad(y) || s.LogX && x == 0 || s.LogY && y == 0 }
	for _, p := range s.Points {
		if wrong(p.X, p.Y) || bad(p.Error) || s.LogY && p.Error >= p.Y {
			return fmt.Errorf("chart: point %q of %s over %s: %v, %v ± %v", p.Name, s.Y, s.X, p.X, p.Y, p.Error)
		}
	}
	for _, l := range s.Lines {
		if wrong(l.X[0], l.Y[0]) || wrong(l.X[1], l.Y[1]) {
			return fmt.Errorf("chart: line %q of %s over %s: %v, %v", l.Name, s.Y, s.X, l.X, l.Y)
		}
	}
	return nil
}

// axis sets what a covers: all points and lines, with room for names around them.
func (s *Scatter) axis(a *plot.Axis, log bool, of func(p Point) (low, high float64), line func(l Limit) [2]float64) {
	a.Min, a.Max = math.Inf(1), math.Inf(-1)
	for _, p := range s.Points {
		low, high := of(p)
		a.Min, a.Max = min(a.Min, low), max(a.Max, high)
	}
	for _, l := range s.Lines {
		v := line(l)
		a.Min, a.Max = min(a.Min, v[0], v[1]), max(a.Max, v[0], v[1])
	}
	if log {
		a.Scale, a.Tick.Marker = plot.LogScale{}, grouped{logTicks{}}
		room := math.Pow(a.Max/a.Min, 0.12) * 1.05
		a.Min, a.Max = a.Min/room, a.Max*room
		return
	}
	a.Tick.Marker = grouped{plot.DefaultTicks{}}
	room := (a.Max-a.Min)*0.15 + 0.01*math.Abs(a.Max) + 1e-9
	a.Min, a.Max = max(0, a.Min-room), a.Max+room
}

// placedKey is an entry of the legend with its place in its row.
type placedKey struct {
	Key
	at vg.Length
}

func (k Key) glyph() draw.GlyphStyle {
	c := colour(k.Colour)
	if k.Black {
		c = color.Black
	}
	return glyph(c, k.Shape)
}

func glyph(c color.Color, s Shape) draw.GlyphStyle {
	shapes := [...]draw.GlyphDrawer{Dot: draw.CircleGlyph{}, Square: draw.BoxGlyph{}, Triangle: draw.PyramidGlyph{}}
	return draw.GlyphStyle{Color: c, Radius: glyphRadius, Shape: shapes[s]}
}

// rows lays the legend out in lines of a width.
func (s *Scatter) rows(width vg.Length) (rows [][]placedKey) {
	const left = 0.1 * vg.Inch
	at := width
	for _, k := range s.Keys {
		need := 3*glyphRadius + style(9, draw.XLeft, draw.YCenter).Width(k.Name) + 12
		if at+need > width {
			rows, at = append(rows, nil), left
		}
		last := len(rows) - 1
		rows[last] = append(rows[last], placedKey{k, at})
		at += need
	}
	return rows
}

// grouped writes the numbers of ticks with commas.
type grouped struct{ plot.Ticker }

func (g grouped) Ticks(low, high float64) []plot.Tick {
	ticks := g.Ticker.Ticks(low, high)
	for i := range ticks {
		switch t := &ticks[i]; {
		case t.Label == "":
		case t.Value >= 1000:
			t.Label = commas(t.Value)
		case t.Value == 0:
			t.Label = "0" // and not 0.00, as gonum has it where the next is 2500
		}
	}
	return ticks
}

// commas prints a whole number in groups of three digits.
func commas(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
