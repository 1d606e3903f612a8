package model

import (
	"math"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels/quant"
)

// reference is a LLaMA by the book: naive loops in float64 over the source's
// weights, quantized where q says so, the whole sequence at once. Of ours it uses
// only package quant, the definition of the formats.
type reference struct {
	c *format.Config
	q qat.Quantization
	w map[string][][]float64 // rows; a vector is one row
}

func newReference(t *testing.T, src format.Source, q qat.Quantization) *reference {
	t.Helper()
	r := &reference{c: src.Config(), q: q, w: map[string][][]float64{}}
	read := func(s format.TensorSpec, bits int) [][]float64 {
		rows, cols := s.Out, s.In
		if cols == 0 {
			rows, cols = 1, s.Out
		}
		var out [][]float64
		row := make([]float32, cols)
		for i := range rows {
			if err := src.ReadRows(row, s.Name, i); err != nil {
				t.Fatal(err)
			}
			scale := float32(1)
			switch {
			case bits < 16:
				ints := make([]int8, cols)
				var err error
				if scale, err = quant.WeightRow(ints, row, bits); err != nil {
					t.Fatal(err)
				}
				for j, v := range ints {
					row[j] = float32(v)
				}
			case s.In > 0 && q.Float == qat.Float16:
				for j, v := range row {
					row[j] = quant.Float16To32(quant.Float16(v))
				}
			}
			wide := make([]float64, cols)
			for j, v := range row {
				wide[j] = float64(v) * float64(scale)
			}
			out = append(out, wide)
		}
		return out
	}
	for _, s := range r.c.Tensors() {
		bits := 16
		if s.Linear {
			bits = q.Bits.W
		} else if s.LMHead {
			bits = q.LMHeadBits
		}
		r.w[s.Name] = read(s, bits)
	}
	if r.c.TieWordEmbeddings {
		r.w[format.LMHeadName] = read(format.TensorSpec{Name: format.EmbedName, Out: r.c.VocabSize, In: r.c.HiddenSize}, q.LMHeadBits)
	}
	return r
}

// logits returns those that follow each of ids.
func (r *reference) logits(ids []int32) [][]float64 {
	c := r.c
	var xs [][]float64
	for _, id := range ids {
		xs = append(xs, append([]float64(nil), r.w[format.EmbedName][id]...))
	}
	dim := c.HeadDim
	group := c.NumAttentionHeads / c.NumKeyValueHeads
	for l := range c.NumHiddenLayers {
		w := func(tail string) [][]float64 { return r.w[format.LayerName(l, tail+".weight")] }
		ks, vs, steps := make([][]float64, len(ids)), make([][]float64, len(ids)), make([][]step, len(ids))
		for t, x := range xs {
			in := r.input(r.norm(x, w("input_layernorm")[0]), r.q.Bits.A)
			q, k, v := product(w("self_attn.q_proj"), in), product(w("self_attn.k_proj"), in), product(w("self_attn.v_proj"), in)
			kv := r.q.KV()
			if kv.RotateOnRead() {
				ks[t] = r.rotated(r.stored(k), t)
			} else {
				ks[t] = r.stored(r.rotated(k, t))
			}
			vs[t], steps[t] = r.stored(v), r.steps(v)
			q = r.rotated(q, t)
			attn := make([]float64, 0, len(q))
			for h := range c.NumAttentionHeads {
				at := h / group * dim
				query := r.input(q[h*dim:][:dim], r.q.QueryBits())
				scores := make([]float64, t+1)
				for s := range scores {
					scores[s] = dot(query, ks[s][at:][:dim]) / math.Sqrt(float64(dim))
				}
				p := softmax(scores)
				w, zero := r.weights(p, steps[:t+1], h/group)
				for i := range dim {
					sum := 0.0
					for s := range p {
						sum += p[s]*zero[s] + w[s]*(vs[s][at+i]-zero[s])
					}
					attn = append(attn, sum)
				}
			}
			add(x, product(w("self_attn.o_proj"), r.input(attn, r.q.Bits.A)))
		}
		for _, x := range xs {
			in := r.input(r.norm(x, w("post_attention_layernorm")[0]), r.q.Bits.A)
			gate, up := product(w("mlp.gate_proj"), in), product(w("mlp.up_proj"), in)
			for i, g := range gate {
				gate[i] = g / (1 + math.Exp(-g)) * up[i]
			}
			add(x, product(w("mlp.down_proj"), r.input(gate, r.q.Bits.A)))
		}
	}
	var out [][]float64
	for _, x := range xs {
		in := r.input(r.norm(x, r.w[format.NormName][0]), r.q.LMHeadActivationBits())
		out = append(out, product(r.w[format.LMHeadName], in))
	}
	return out
}

func (r *reference) norm(x, w []float64) []float64 {
	scale := 1 / math.Sqrt(dot(x, x)/float64(len(x))+r.c.RMSNormEps)
	y := make([]float64, len(x))
	for i := range x {
		y[i] = x[i] * scale * w[i]
	}
	return y
}

// input is x as a product of so many bits sees it.
func (r *reference) input(x []float64, bits int) []float64 {
	if bits == 16 {
		return x
	}
	q := make([]int8, len(x))
	scale, _, _ := quant.Activations(q, narrow(x), bits)
	y := make([]float64, len(x))
	for i, v := range q {
		y[i] = float64(v) * float64(scale)
	}
	return y
}

// stored is one token's K or V as it comes back from the cache.
func (r *reference) stored(x []float64) []float64 {
	kv := r.q.KV()
	y := narrow(x)
	if kv.Quantized() {
		per := len(y) / kv.Groups(r.c.NumKeyValueHeads)
		for g := 0; g < len(y); g += per {
			scale, zero, _ := kv.KVScale(quant.MinMax(y[g:][:per]))
			for h := g; h < g+per; h += r.c.HeadDim {
				b := make([]byte, kv.VectorBytes(r.c.HeadDim))
				kv.KVStore(b, y[h:][:r.c.HeadDim], scale, zero)
				kv.KVLoad(y[h:][:r.c.HeadDim], b, scale, zero)
			}
		}
	} else if kv.Bits == 16 {
		for i, v := range y {
			y[i] = quant.Float16To32(quant.Float16(v))
		}
	}
	out := make([]float64, len(y))
	for i, v := range y {
		out[i] = float64(v)
	}
	return out
}

// step is a head's value scale and zero point.
type step struct{ scale, zero float64 }

// steps are those of one token's V, for each KV head.
func (r *reference) steps(v []float64) []step {
	kv := r.q.KV()
	out := make([]step, r.c.NumKeyValueHeads)
	if !kv.Quantized() {
		return out
	}
	groups := kv.Groups(len(out))
	per := len(v) / groups
	for h := range out {
		g := h * groups / len(out)
		scale, zero, _ := kv.KVScale(quant.MinMax(narrow(v[g*per:][:per])))
		out[h] = step{float64(quant.Float16To32(scale)), float64(quant.Float16To32(zero))}
	}
	return out
}

// weights are p as they multiply the integers of a quantized cache: p·scale in whole
// parts of 1/16383 of the largest one among 256 positions. It returns the values'
// zero points too.
func (r *reference) weights(p []float64, steps [][]step, head int) (w, zero []float64) {
	w, zero = slices.Clone(p), make([]float64, len(p))
	if !r.q.KV().Quantized() {
		return w, zero
	}
	for from := 0; from < len(p); from += 256 {
		part := p[from:min(from+256, len(p))]
		most := 0.0
		for i, e := range part {
			most = max(most, e*steps[from+i][head].scale)
		}
		for i, e := range part {
			s := steps[from+i][head]
			if zero[from+i] = s.zero; s.scale > 0 && most > 0 {
				unit := most / (1<<14 - 1)
				w[from+i] = math.RoundToEven(e*s.scale/unit) * unit / s.scale
			}
		}
	}
	return w, zero
}

// rotated is x, heads side by side, turned by RoPE for position pos. The llama3
// scaling follows its description by wavelengths.
func (r *reference) rotated(x []float64, pos int) []float64 {
	c := r.c
	y := make([]float64, len(x))
	half := c.HeadDim / 2
	for h := 0; h < len(x); h += c.HeadDim {
		for i := range half {
			f := math.Pow(c.RopeTheta, -float64(2*i)/float64(c.HeadDim))
			if s := c.RopeScaling; s != nil {
				length, n := 2*math.Pi/f, float64(s.OriginalMaxPositionEmbeddings)
				switch {
				case s.Type == "linear" || length > n/s.LowFreqFactor:
					f /= s.Factor
				case length >= n/s.HighFreqFactor:
					smooth := (n/length - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor)
					f = (1-smooth)*f/s.Factor + smooth*f
				}
			}
			sin, cos := math.Sincos(float64(pos) * f)
			a, b := x[h+i], x[h+i+half]
			y[h+i], y[h+i+half] = a*cos-b*sin, b*cos+a*sin
		}
	}
	return y
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func product(w [][]float64, x []float64) []float64 {
	y := make([]float64, len(w))
	for i := range w {
		y[i] = dot(w[i], x)
	}
	return y
}

func add(x, y []float64) {
	for i := range x {
		x[i] += y[i]
	}
}

func softmax(x []float64) []float64 {
	most, sum := math.Inf(-1), 0.0
	for _, v := range x {
		most = max(most, v)
	}
	p := make([]float64, len(x))
	for i, v := range x {
		p[i] = math.Exp(v - most)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}
