package ptq

import (
	"math"
	"slices"
	"testing"

	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/train/nn"
)

// logits is a LLaMA's forward pass in float64, of one sequence, as its paper has it.
func logits(m *Model, ids []int32) [][]float64 { return forward(m, ids, func(int, int, []float64) {}) }

// forward is logits, and calls see with what each token gives the groups of each layer
// to read, and as group -1 its keys.
func forward(m *Model, ids []int32, see func(layer, group int, x []float64)) [][]float64 {
	c := &m.config
	d, share := c.HeadDim, c.NumAttentionHeads/c.NumKeyValueHeads
	x := make([][]float64, len(ids))
	for t, id := range ids {
		x[t] = widen(m.tensor(format.EmbedName).row(int(id)))
	}
	for l := range c.NumHiddenLayers {
		var q, k, v [][]float64
		for t := range x {
			in := rmsNorm(x[t], m.of(l, "input_layernorm.weight").v, c.RMSNormEps)
			see(l, 0, in)
			q = append(q, rotate(multiply(m.of(l, "self_attn.q_proj.weight"), in), t, c))
			k = append(k, rotate(multiply(m.of(l, "self_attn.k_proj.weight"), in), t, c))
			v = append(v, multiply(m.of(l, "self_attn.v_proj.weight"), in))
			see(l, -1, k[t])
		}
		for t := range x {
			out := make([]float64, c.NumAttentionHeads*d)
			for h := range c.NumAttentionHeads {
				g := h / share * d
				p, sum := make([]float64, t+1), 0.0
				for s := range p {
					p[s] = dot(q[t][h*d:][:d], k[s][g:][:d]) / math.Sqrt(float64(d))
				}
				top := slices.Max(p)
				for s := range p {
					p[s] = math.Exp(p[s] - top)
					sum += p[s]
				}
				for s := range p {
					for i := range d {
						out[h*d+i] += p[s] / sum * v[s][g+i]
					}
				}
			}
			see(l, 1, out)
			x[t] = plus(x[t], multiply(m.of(l, "self_attn.o_proj.weight"), out))
		}
		for t := range x {
			in := rmsNorm(x[t], m.of(l, "post_attention_layernorm.weight").v, c.RMSNormEps)
			see(l, 2, in)
			gate, up := multiply(m.of(l, "mlp.gate_proj.weight"), in), multiply(m.of(l, "mlp.up_proj.weight"), in)
			for i, g := range gate {
				up[i] *= g / (1 + math.Exp(-g))
			}
			see(l, 3, up)
			x[t] = plus(x[t], multiply(m.of(l, "mlp.down_proj.weight"), up))
		}
	}
	head := format.LMHeadName
	if c.TieWordEmbeddings {
		head = format.EmbedName
	}
	for t := range x {
		x[t] = multiply(m.tensor(head), rmsNorm(x[t], m.tensor(format.NormName).v, c.RMSNormEps))
	}
	return x
}

func widen(v []float32) []float64 {
	w := make([]float64, len(v))
	for i, x := range v {
		w[i] = float64(x)
	}
	return w
}

func plus(a, b []float64) []float64 {
	for i := range a {
		a[i] += b[i]
	}
	return a
}

func multiply(w *matrix, x []float64) []float64 {
	y := make([]float64, w.rows)
	for i := range y {
		y[i] = dot(widen(w.row(i)), x)
	}
	return y
}

func rmsNorm(x []float64, w []float32, eps float64) []float64 {
	r := 1 / math.Sqrt(dot(x, x)/float64(len(x))+eps)
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = v * r * float64(w[i])
	}
	return y
}

func rotate(x []float64, position int, c *format.Config) []float64 {
	d := c.HeadDim
	for h := 0; h < len(x); h += d {
		for i := range d / 2 {
			sin, cos := math.Sincos(float64(position) * math.Pow(c.RopeTheta, -2*float64(i)/float64(d)))
			a, b := x[h+i], x[h+i+d/2]
			x[h+i], x[h+i+d/2] = a*cos-b*sin, b*cos+a*sin
		}
	}
	return x
}

// The reference is what package nn computes, with steps that change nothing: cross
// entropies, of nats a token that are float32s, agree to their rounding.
func TestReferenceIsTheTrainersModel(t *testing.T) {
	for _, tied := range []bool{false, true} {
		m := load(t, tiny(tied))
		student := student(t, m, float32s, nil)
		for _, s := range tokens(&m.config, 5) {
			want := 0.0
			all := logits(m, s)
			for i, next := range s[1:] {
				sum := 0.0
				for _, v := range all[i] {
					sum += math.Exp(v)
				}
				want += math.Log(sum) - all[i][next]
			}
			got, err := student.Evaluate(student, nn.Batch{s}, nn.Loss{})
			if n := float64(len(s)); err != nil || !(math.Abs(got.CE-want) <= 1e-5*n) {
				t.Errorf("%d tokens: cross entropy %v, want %v: %v", len(s), got.CE, want, err)
			}
		}
	}
}
