package report

import (
	"fmt"
	"io"
	"math"

	"github.com/llmqat/llmqat/bench"
	"github.com/llmqat/llmqat/internal/chart"
)

// picture is one of a set's.
type picture struct {
	name  string // of its file
	title string
	says  string // for those who do not see it, and below it
	draw  func(w io.Writer, format, title string) error
}

func (s *Set) pictures() []picture {
	return []picture{
		{"quality", "Quality against speed", "Right is faster, low is better: perplexity on " + s.Texts[0].Name + ", ± one standard error.", s.qualityAgainstSpeed},
		{"kl", "KL to the teacher", "Nats a token, ± one standard error; 0 would be the teacher's own distribution.", s.klBars},
		{"speed", "Speed", "Tokens/s, medians. A tick, where one is near, is what the read bandwidth (decode) or the multipliers' peak (prefill) allows.", s.speedBars},
		{"roofline", "Roofline", "A point below its roof loses to overhead; decode above the slope reads from the processor's caches.", s.roofline},
	}
}

func (s *Set) qualityAgainstSpeed(w io.Writer, format, title string) error {
	p := chart.Scatter{X: fmt.Sprintf("decode at %d tokens of context, tokens/s", s.Speed.Context), Y: "perplexity"}
	low, high := math.Inf(1), 0.0
	for i, m := range s.Models {
		v, q := s.Speed.Models[i].Decode[0].PerSec, m.Quality[0].Perplexity
		p.Points = append(p.Points, chart.Point{Name: m.Name, X: v, Y: q.Value, Error: q.SE, Colour: i})
		low, high = min(low, v), max(high, v)
	}
	teacher := s.Models[0].Quality[0].TeacherPerplexity.Value
	p.Lines = []chart.Limit{{Name: "teacher", X: [2]float64{low, high}, Y: [2]float64{teacher, teacher}}}
	return chart.Points(w, format, title, p)
}

func (s *Set) klBars(w io.Writer, format, title string) error {
	var panels []chart.Panel
	for i, t := range s.Texts {
		p := chart.Panel{Title: "on " + t.Name}
		for j, m := range s.Models {
			kl := m.Quality[i].KL
			p.Bars = append(p.Bars, chart.Bar{Name: m.Name, Value: max(kl.Value, 0), Error: kl.SE, Label: estimate(kl, 1, 4, "").String(), Colour: barColour(j)})
		}
		panels = append(panels, p)
	}
	return chart.Bars(w, format, title, panels)
}

// leastShare is the least of a limit that is drawn beside a bar: one far away says nothing, and
// makes all bars short.
const leastShare = 0.2

// barColour is model i's in a picture of bars, in which 0 stands for a colour by place.
func barColour(i int) int { return i + chart.Colours }

func (s *Set) speedBars(w io.Writer, format, title string) error {
	panel := func(title string, of func(m *bench.Result) bench.Rate, limit bool) chart.Panel {
		p := chart.Panel{Title: title}
		for i, m := range s.Models {
			v := of(&s.Speed.Models[i])
			b := chart.Bar{Name: m.Name, Value: v.PerSec, Label: speed3(v.PerSec), Colour: barColour(i)}
			if limit && v.Share >= leastShare && v.Share <= 1 {
				b.Limit, b.Note = v.PerSec/v.Share, fmt.Sprintf("%.0f %%", 100*v.Share)
			}
			p.Bars = append(p.Bars, b)
		}
		return p
	}
	return chart.Bars(w, format, title, []chart.Panel{
		panel(fmt.Sprintf("decode at %d", s.Speed.Context), decodeOne, true),
		panel(fmt.Sprintf("decode of %d sequences at %d", s.Speed.Batch, s.Speed.Context), decodeBatch, false),
		panel(fmt.Sprintf("prefill of %d", s.Speed.Prompt), prefill, true),
	})
}

// roofline holds what every model multiplies against what it reads.
func (s *Set) roofline(w io.Writer, format, title string) error {
	p := chart.Scatter{X: "multiplications for each byte read (MAC/B)", Y: "GMAC/s", LogX: true, LogY: true}
	low, high := math.Inf(1), 0.0
	for i, m := range s.Models {
		p.Keys = append(p.Keys, chart.Key{Name: m.Name, Colour: i})
		for _, pt := range s.points(i) {
			pt.Colour = i
			p.Points = append(p.Points, pt)
			low, high = min(low, pt.X), max(high, pt.X)
		}
	}
	p.Keys = append(p.Keys, chart.Key{Name: "decode", Shape: chart.Dot, Black: true},
		chart.Key{Name: fmt.Sprintf("%d sequences", s.Speed.Batch), Shape: chart.Square, Black: true}, chart.Key{Name: "prefill", Shape: chart.Triangle, Black: true})
	c := s.Speed.Machine.Ceilings[0]
	read, floats := c.ReadBandwidth/1e9, max(c.Float32Peak, c.Float16Peak)/1e9
	roofs := []chart.Limit{
		{Name: fmt.Sprintf("int8 peak, %s GMAC/s", digits(c.Int8Peak/1e9)), Y: [2]float64{c.Int8Peak / 1e9, c.Int8Peak / 1e9}},
		{Name: fmt.Sprintf("float peak, %s GMAC/s", digits(floats)), Y: [2]float64{floats, floats}},
	}
	ridge := 0.0
	for _, r := range roofs {
		r.X = [2]float64{r.Y[0] / read, max(high*1.5, r.Y[0]/read*2)}
		ridge = max(ridge, r.X[0])
		p.Lines = append(p.Lines, r)
	}
	low = min(low, ridge/10)
	p.Lines = append(p.Lines, chart.Limit{Name: fmt.Sprintf("read bandwidth, %s GB/s", digits(read)), X: [2]float64{low, ridge}, Y: [2]float64{low * read, ridge * read}})
	return chart.Points(w, format, title, p)
}

// points are model i's on the roofline. Activations count for nothing: they stay in caches.
func (s *Set) points(i int) []chart.Point {
	m, r, v := &s.Models[i], &s.Speed.Models[i], s.Speed
	point := func(rate bench.Rate, macs, bytes float64, shape chart.Shape) chart.Point {
		return chart.Point{X: macs / bytes, Y: rate.PerSec * macs / 1e9, Shape: shape}
	}
	weights, kv := float64(r.WeightBytes), float64(r.KVTokenBytes)
	depth := float64(v.Context + v.Decode/2)
	macs := float64(m.MACs) + depth*float64(m.AttentionMACs)
	passes := math.Ceil(float64(v.Prompt) / float64(v.Pass))
	// The tokens before each pass are read once in it: 0, 1, 2, ... passes of them.
	before := float64(v.Pass) * passes * (passes - 1) / 2 / float64(v.Prompt)
	return []chart.Point{
		point(decodeOne(r), macs, weights+depth*kv, chart.Dot),
		point(decodeBatch(r), macs, weights/float64(v.Batch)+depth*kv, chart.Square),
		point(prefill(r), float64(r.MACs)+float64(v.Prompt)/2*float64(m.AttentionMACs), weights*passes/float64(v.Prompt)+(1+before)*kv, chart.Triangle),
	}
}
