package chart

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/recorder"
)

func scatter() Scatter {
	return Scatter{
		X: "tokens/s", Y: "perplexity",
		Points: []Point{{Name: "a <b>", X: 1000, Y: 4, Error: 0.1}, {Name: "c", X: 7000, Y: 9, Colour: 3, Shape: Triangle}},
		Lines:  []Limit{{Name: "teacher", X: [2]float64{1000, 7000}, Y: [2]float64{4, 4}}},
		Keys:   []Key{{Name: "first key"}, {Name: strings.Repeat("a long second key ", 4), Black: true}, {Name: "third key", Shape: Square}},
	}
}

func TestPoints(t *testing.T) {
	for _, log := range []bool{false, true} {
		for _, title := range []string{"", "a title"} {
			s := scatter()
			s.LogX, s.LogY = log, log
			var svg, png bytes.Buffer
			if err := Points(&svg, "svg", title, s); err != nil {
				t.Fatal(err)
			}
			if err := Points(&png, "png", title, s); err != nil || png.Len() < 1000 {
				t.Errorf("%d bytes, %v", png.Len(), err)
			}
			for _, want := range []string{"a &lt;b&gt;", "teacher", "perplexity", "tokens/s", "first key", "third key", ",000</text>", title} {
				if !strings.Contains(svg.String(), want) {
					t.Errorf("the picture lacks %q", want)
				}
			}
		}
	}
}

func TestTicks(t *testing.T) {
	labels := ""
	for _, tick := range (grouped{plot.DefaultTicks{}}).Ticks(0, 2700) {
		if tick.Label != "" {
			labels += tick.Label + " "
		}
	}
	if labels != "0 2,500 " {
		t.Errorf("ticks %q", labels)
	}
}

func TestPointsRefuse(t *testing.T) {
	for name, set := range map[string]func(s *Scatter){
		"no points":      func(s *Scatter) { s.Points = nil },
		`point "c"`:      func(s *Scatter) { s.Points[1].Y = math.NaN() },
		`point "a <b>"`:  func(s *Scatter) { s.LogX, s.Points[0].X = true, 0 },
		"4 ± 4":          func(s *Scatter) { s.LogY, s.Points[0].Error = true, 4 },
		`line "teacher"`: func(s *Scatter) { s.Lines[0].Y[1] = math.Inf(1) },
	} {
		s := scatter()
		set(&s)
		if err := Points(io.Discard, "svg", "", s); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that says %q", err, name)
		}
	}
	if err := Points(io.Discard, "gif", "", scatter()); err == nil {
		t.Error("gif: no error")
	}
}

// Wherever points lie, names lie neither on them nor on each other while there is room.
func TestNamesLieApart(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		s := Scatter{X: "x", Y: "y"}
		for i := range 7 {
			s.Points = append(s.Points, Point{Name: fmt.Sprintf("4-8-4 name %d", i), X: 100 + 100*rng.Float64(), Y: 4 + rng.Float64()})
		}
		pl := plot.New()
		s.axis(&pl.X, false, func(p Point) (low, high float64) { return p.X, p.X }, nil)
		s.axis(&pl.Y, false, func(p Point) (low, high float64) { return p.Y, p.Y }, nil)
		var r recorder.Canvas
		c := draw.NewCanvas(&r, 300, 200)
		x, y := pl.Transforms(&c)
		s.Plot(c, pl)
		var taken []vg.Rectangle
		for _, p := range s.Points {
			taken = append(taken, around(vg.Point{X: x(p.X), Y: y(p.Y)}, glyphRadius))
		}
		names := 0
		for _, a := range r.Actions {
			text, ok := a.(*recorder.FillString)
			if !ok {
				continue
			}
			names++
			at := vg.Rectangle{Min: text.Point, Max: vg.Point{X: text.Point.X + style(9, 0, 0).Width(text.String), Y: text.Point.Y + 6}}
			if !free(at, c.Rectangle, taken, nil) {
				t.Errorf("%q at %v lies on something: %v", text.String, text.Point, taken)
			}
			taken = append(taken, at)
		}
		if names != len(s.Points) {
			t.Fatalf("%d names of %d points", names, len(s.Points))
		}
	}
}

func TestCrosses(t *testing.T) {
	r := vg.Rectangle{Min: vg.Point{X: 10, Y: 10}, Max: vg.Point{X: 20, Y: 20}}
	for _, c := range []struct {
		a, b vg.Point
		want bool
	}{
		{vg.Point{X: 0, Y: 15}, vg.Point{X: 30, Y: 15}, true},
		{vg.Point{X: 0, Y: 0}, vg.Point{X: 30, Y: 30}, true},
		{vg.Point{X: 12, Y: 12}, vg.Point{X: 13, Y: 14}, true}, // within
		{vg.Point{X: 0, Y: 15}, vg.Point{X: 9, Y: 15}, false},  // ends before
		{vg.Point{X: 0, Y: 9}, vg.Point{X: 30, Y: 9}, false},   // below
		{vg.Point{X: 0, Y: 15}, vg.Point{X: 15, Y: 40}, false}, // past a corner
	} {
		if got := crosses(r, c.a, c.b); got != c.want {
			t.Errorf("%v to %v crosses: %v", c.a, c.b, got)
		}
	}
}

func TestHex(t *testing.T) {
	if got := Hex(1 + Colours); got != "#0072b2" || colour(1) != (color.RGBA{0, 0x72, 0xb2, 0xff}) {
		t.Errorf("colour 1 is %s", got)
	}
}
