package chart

import (
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Plot draws lines, points and their names into an area with axes, as gonum wants it.
func (s *Scatter) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	var taken []vg.Rectangle
	var lines [][2]vg.Point
	for _, l := range s.Lines {
		a, b := vg.Point{X: x(l.X[0]), Y: y(l.Y[0])}, vg.Point{X: x(l.X[1]), Y: y(l.Y[1])}
		lines = append(lines, [2]vg.Point{a, b})
		c.StrokeLine2(draw.LineStyle{Color: color.Gray{0x70}, Width: vg.Points(1), Dashes: []vg.Length{4, 3}}, a.X, a.Y, b.X, b.Y)
	}
	at := make([]vg.Point, len(s.Points))
	for i, p := range s.Points {
		at[i] = vg.Point{X: x(p.X), Y: y(p.Y)}
		taken = append(taken, around(at[i], glyphRadius+1))
		if p.Error > 0 {
			low, high := y(p.Y-p.Error), y(p.Y+p.Error)
			whisker(c, at[i].X, low, high)
			taken = append(taken, vg.Rectangle{Min: vg.Point{X: at[i].X - 3, Y: low}, Max: vg.Point{X: at[i].X + 3, Y: high}})
		}
	}
	for i, p := range s.Points {
		c.DrawGlyph(glyph(colour(p.Colour), p.Shape), at[i])
	}
	for i, l := range s.Lines {
		taken = append(taken, along(c, l.Name, lines[i][0], lines[i][1], taken, slices.Delete(slices.Clone(lines), i, i+1))...)
	}
	for i, p := range s.Points {
		if p.Name != "" {
			taken = append(taken, beside(c, p.Name, at[i], taken, lines))
		}
	}
}

// whisker draws the bar of an upright standard error.
func whisker(c draw.Canvas, x, low, high vg.Length) {
	line := draw.LineStyle{Color: color.Black, Width: vg.Points(1)}
	c.StrokeLine2(line, x, low, x, high)
	c.StrokeLine2(line, x-3, low, x+3, low)
	c.StrokeLine2(line, x-3, high, x+3, high)
}

func around(p vg.Point, r vg.Length) vg.Rectangle {
	return vg.Rectangle{Min: vg.Point{X: p.X - r, Y: p.Y - r}, Max: vg.Point{X: p.X + r, Y: p.Y + r}}
}

// along writes name above the line from a to b, as near to b as nothing taken nor another line is
// covered, and returns what it covers.
func along(c draw.Canvas, name string, a, b vg.Point, taken []vg.Rectangle, others [][2]vg.Point) []vg.Rectangle {
	st := style(8, draw.XRight, draw.YBottom)
	width := st.Width(name)
	st.Rotation = math.Atan2(float64(b.Y-a.Y), float64(b.X-a.X))
	cos, sin := vg.Length(math.Cos(st.Rotation)), vg.Length(math.Sin(st.Rotation))
	covers := func(end vg.Point) (list []vg.Rectangle) {
		for d := vg.Length(0); d <= width; d += 5 { // a chain of squares, as the line may slope
			list = append(list, around(vg.Point{X: end.X - d*cos - 4*sin, Y: end.Y - d*sin + 4*cos}, 5))
		}
		return list
	}
	end := func(back vg.Length) vg.Point {
		return vg.Point{X: b.X - back*cos - 2*sin, Y: b.Y - back*sin + 2*cos}
	}
	best := end(4)
	length := vg.Length(math.Hypot(float64(b.X-a.X), float64(b.Y-a.Y)))
	for back := vg.Length(4); back+width < length; back += 5 {
		if !slices.ContainsFunc(covers(end(back)), func(r vg.Rectangle) bool { return !free(r, c.Rectangle, taken, others) }) {
			best = end(back)
			break
		}
	}
	c.FillText(st, best, name)
	return covers(best)
}

// beside writes name as near to p as nothing taken is covered, and returns what it covers. Where
// nowhere is free, it stands to the right.
func beside(c draw.Canvas, name string, p vg.Point, taken []vg.Rectangle, lines [][2]vg.Point) vg.Rectangle {
	st := style(9, draw.XLeft, draw.YBottom)
	w, h := st.Width(name), st.Font.Size
	var first vg.Rectangle
	for _, gap := range []vg.Length{7, 14, 24, 36, 50} {
		for i, d := range [][2]vg.Length{{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {1, 1}, {1, -1}, {-1, 1}, {-1, -1}} {
			// The text's middle, so far from p that the gap is kept.
			mid := vg.Point{X: p.X + d[0]*(gap+w/2), Y: p.Y + d[1]*(gap+h/2)}
			r := vg.Rectangle{Min: vg.Point{X: mid.X - w/2, Y: mid.Y - h/2}, Max: vg.Point{X: mid.X + w/2, Y: mid.Y + h/2}}
			if gap == 7 && i == 0 {
				first = r
			}
			if free(r, c.Rectangle, taken, lines) {
				if gap > 14 {
					near := vg.Point{X: min(max(p.X, r.Min.X), r.Max.X), Y: min(max(p.Y, r.Min.Y), r.Max.Y)}
					c.StrokeLine2(draw.LineStyle{Color: color.Gray{0x70}, Width: vg.Points(0.5)}, p.X, p.Y, near.X, near.Y)
				}
				return write(c, name, r)
			}
		}
	}
	return write(c, name, first)
}

func write(c draw.Canvas, name string, r vg.Rectangle) vg.Rectangle {
	c.FillText(style(9, draw.XLeft, draw.YCenter), vg.Point{X: r.Min.X, Y: (r.Min.Y + r.Max.Y) / 2}, name)
	return r
}

// free reports whether r lies within all, and on nothing that is taken, nor on a line.
func free(r, all vg.Rectangle, taken []vg.Rectangle, lines [][2]vg.Point) bool {
	if r.Min.X < all.Min.X || r.Max.X > all.Max.X || r.Min.Y < all.Min.Y || r.Max.Y > all.Max.Y {
		return false
	}
	for _, t := range taken {
		if r.Min.X < t.Max.X && t.Min.X < r.Max.X && r.Min.Y < t.Max.Y && t.Min.Y < r.Max.Y {
			return false
		}
	}
	for _, l := range lines {
		if crosses(r, l[0], l[1]) {
			return false
		}
	}
	return true
}

// crosses reports whether the line from a to b meets r (Liang and Barsky).
func crosses(r vg.Rectangle, a, b vg.Point) bool {
	from, to := vg.Length(0), vg.Length(1)
	for _, side := range [][2]vg.Length{{a.X - b.X, a.X - r.Min.X}, {b.X - a.X, r.Max.X - a.X}, {a.Y - b.Y, a.Y - r.Min.Y}, {b.Y - a.Y, r.Max.Y - a.Y}} {
		switch d, room := side[0], side[1]; {
		case d == 0 && room < 0:
			return false
		case d < 0:
			from = max(from, room/d)
		case d > 0:
			to = min(to, room/d)
		}
	}
	return from <= to
}
