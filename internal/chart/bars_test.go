package chart

import (
	"bytes"
	"encoding/xml"
	"image/png"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var panels = []Panel{
	{"decode, tokens/s", []Bar{{Name: "16-16-16", Value: 15, Limit: 20, Note: "75 % of read bandwidth"}, {Name: "4-8-4", Value: 60, Limit: 70}}},
	{"prefill, tokens/s", []Bar{{Name: "16-16-16"}, {Name: "4-8-4 <&>", Value: 240, Limit: 300, Colour: 2}}},
}

func TestSVGHoldsEveryValue(t *testing.T) {
	var svg bytes.Buffer
	if err := Bars(&svg, "svg", "TinyLlama", panels); err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(&svg)
	var text strings.Builder
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		if c, ok := tok.(xml.CharData); ok {
			text.Write(c)
		}
	}
	for _, want := range []string{"TinyLlama", "decode, tokens/s", "15.0, 75 % of read bandwidth", "60.0", "240", "4-8-4 <&>"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
}

func TestPNG(t *testing.T) {
	var b bytes.Buffer
	if err := Bars(&b, "png", "x", panels); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&b)
	if err != nil || img.Bounds().Dx() < 500 {
		t.Fatalf("%v, %v", img.Bounds(), err)
	}
}

func TestBadInput(t *testing.T) {
	if err := Bars(io.Discard, "gif", "x", panels); err == nil {
		t.Error("gif: no error")
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), -1} {
		if err := Bars(io.Discard, "svg", "x", []Panel{{"p", []Bar{{Name: "b", Value: v}}}}); err == nil {
			t.Errorf("value %v: no error", v)
		}
	}
}

func TestLines(t *testing.T) {
	curves := []Curves{
		{"KL, nats a token", []Line{{"training", []float64{1, 2, 3}, []float64{0.6, 0.5, 0.01}}, {"held-out", []float64{1, 3}, []float64{0.5, 0.02}}}, true, ""},
		{"learning rate", []Line{{"", []float64{1, 2, 3}, []float64{0, 1, 0}}}, false, "hours"},
		{"one value", []Line{{"", []float64{1}, []float64{0.1}}}, true, ""},
	}
	for _, format := range []string{"svg", "png"} {
		var b bytes.Buffer
		if err := Lines(&b, format, "a run", "step", curves); err != nil || b.Len() < 1000 {
			t.Errorf("%s: %d bytes, %v", format, b.Len(), err)
		}
		if format == "svg" {
			for _, want := range []string{"a run", "KL, nats a token", "held-out", "learning rate", "step", "hours"} {
				if !strings.Contains(b.String(), want) {
					t.Errorf("the picture lacks %q", want)
				}
			}
		}
	}
	for _, bad := range []Curves{
		{"zero of a logarithm", []Line{{"", []float64{1}, []float64{0}}}, true, ""}, {"lengths", []Line{{"", []float64{1, 2}, []float64{0}}}, false, ""},
		{"NaN", []Line{{"", []float64{1}, []float64{math.NaN()}}}, false, ""}, {"none", []Line{{}}, false, ""},
	} {
		if err := Lines(io.Discard, "svg", "x", "x", []Curves{bad}); err == nil || !strings.Contains(err.Error(), bad.Title) {
			t.Errorf("%s: %v", bad.Title, err)
		}
	}
}

// Within a decade, too, an axis has numbers; and the names of lines do not lie on each other.
func TestLinesCanBeRead(t *testing.T) {
	var b bytes.Buffer
	x := []float64{1, 2}
	panel := Curves{Title: "p", LogY: true, Lines: []Line{{"first", x, []float64{0.0112, 0.0113}}, {"second", x, []float64{0.0119, 0.0128}}}}
	if err := Lines(&b, "svg", "x", "step", []Curves{panel}); err != nil {
		t.Fatal(err)
	}
	y, numbers := map[string]float64{}, 0
	for _, m := range regexp.MustCompile(`(?s)<text x="[^"]*" y="([^"]*)"[^>]*>([^<]*)</text>`).FindAllStringSubmatch(b.String(), -1) {
		at, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		y[m[2]] = at
		if v, err := strconv.ParseFloat(m[2], 64); err == nil && v > 0.0111 && v < 0.0129 {
			numbers++
		}
	}
	if d := math.Abs(y["first"] - y["second"]); d < 9 || y["first"] == 0 {
		t.Errorf("names of 9 points stand %v points apart", d)
	}
	if numbers < 2 {
		t.Errorf("the axis has %d numbers: %v", numbers, y)
	}
}
