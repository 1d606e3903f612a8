package nn

import "github.com/llmqat/llmqat/kernels"

// Errors are what rounding takes of numbers x: Σ(x̂-x)²/Σx², 0 where none is rounded.
type Errors struct {
	Weight float64 // of all decoder layers' weights together
	// Of each decoder layer: its weights; inputs of its linear layers and queries; K and V.
	Weights, Activations, KV []float64
}

// Errors measures what rounding takes of the weights, and of activations, K and V of b.
// Prepare came before.
func (m *Model) Errors(b Batch) (Errors, error) {
	var e Errors
	var all loss
	m.load(b)
	p := &m.pass
	m.dev.Embed(p.x[0], m.embed.table(), p.ids)
	for i := range m.layers {
		w := &watch{}
		for _, l := range m.layers[i].linears() {
			if l.bits < 16 {
				w.weight(m.dev, l)
			}
		}
		p.watch = w
		m.layers[i].forward(p, m.actsOf(i), p.x[i+1], p.x[i])
		e.Weights, e.Activations, e.KV = append(e.Weights, w.weights.part()), append(e.Activations, w.acts.part()), append(e.KV, w.kv.part())
		all.lost, all.all = all.lost+w.weights.lost, all.all+w.weights.all
	}
	p.watch = nil
	e.Weight = all.part()
	return e, m.dev.Sync()
}

// loss sums up squares: of what rounding takes, and of all.
type loss struct{ lost, all float64 }

func (l *loss) add(was, is []float32) {
	for i, v := range was {
		d := float64(is[i]) - float64(v)
		l.lost, l.all = l.lost+d*d, l.all+float64(v)*float64(v)
	}
}

func (l *loss) part() float64 {
	if l.all == 0 {
		return 0
	}
	return l.lost / l.all
}

// watch measures what a layer rounds. A nil one does nothing.
type watch struct {
	weights, acts, kv loss
	was, is           []float32
}

// before notes what is about to be rounded in place.
func (w *watch) before(d kernels.Memory, x kernels.Floats) {
	if w != nil {
		w.was = download(d, w.was, x)
	}
}

// after measures what before noted, rounded.
func (w *watch) after(d kernels.Memory, x kernels.Floats, kv bool) {
	if w == nil {
		return
	}
	w.is = download(d, w.is, x)
	if kv {
		w.kv.add(w.was, w.is)
	} else {
		w.acts.add(w.was, w.is)
	}
}

// weight measures a weight, row by row, for it is large.
func (w *watch) weight(d kernels.Memory, l *linear) {
	for r := range l.W.Rows {
		w.was, w.is = download(d, w.was, l.W.Part(r, r+1)), download(d, w.is, l.hat.Part(r, r+1))
		w.weights.add(w.was, w.is)
	}
}

// download returns f's elements, in dst's memory where they fit.
func download(d kernels.Memory, dst []float32, f kernels.Floats) []float32 {
	if n := f.Rows * f.Cols; cap(dst) < n {
		dst = make([]float32, n)
	}
	dst = dst[:f.Rows*f.Cols]
	kernels.DownloadFloats(d, dst, f)
	return dst
}
