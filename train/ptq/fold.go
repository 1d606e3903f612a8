package ptq

import (
	"github.com/llmqat/llmqat/format"
	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/train/nn"
)

// group is the linear layers that read the same, and what that comes from. A channel of
// it can be scaled at both ends, which changes nothing (SmoothQuant, arXiv:2211.10438):
// nothing but factors and sums lies between, a norm's weight being the last factor.
// Between v_proj and o_proj attention takes weighted sums within each channel, and
// between up_proj and down_proj the gate is a factor.
type group struct {
	from  string // a norm's elements or a linear layer's rows are the channels
	to    []string
	stage nn.Stage
	reads func(nn.Inputs) kernels.Floats
}

// groups are a layer's, in the order in which they are computed.
var groups = [...]group{
	{"input_layernorm.weight", []string{"self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"},
		nn.QKVProj, func(in nn.Inputs) kernels.Floats { return in.QKV }},
	{"self_attn.v_proj.weight", []string{"self_attn.o_proj.weight"}, nn.OProj, func(in nn.Inputs) kernels.Floats { return in.Out }},
	{"post_attention_layernorm.weight", []string{"mlp.gate_proj.weight", "mlp.up_proj.weight"},
		nn.GateUpProj, func(in nn.Inputs) kernels.Floats { return in.GateUp }},
	{"mlp.up_proj.weight", []string{"mlp.down_proj.weight"}, nn.DownProj, func(in nn.Inputs) kernels.Floats { return in.Down }},
}

// Those behind a norm and those in front of a residual: a block's input and output.
var (
	inputGroups  = []group{groups[0], groups[2]}
	outputGroups = []group{groups[1], groups[3]}
)

// channels returns the number of channels of a layer's group, and for each column of
// what is read its channel. The query heads that share a KV head share v's channels.
func (m *Model) channels(layer int, g *group) (n int, of []int) {
	from := m.of(layer, g.from)
	of = make([]int, m.of(layer, g.to[0]).cols)
	n = from.rows
	if n == 1 {
		n = from.cols
	}
	share, d := len(of)/n, m.config.HeadDim
	for i := range of {
		of[i] = i
		if share > 1 {
			of[i] = i/(share*d)*d + i%d
		}
	}
	return n, of
}

// scale divides the channels of what a group reads by s, and multiplies the columns that
// read them. s holds no zero.
func (m *Model) scale(layer int, g *group, s []float64) {
	inverse := make([]float64, len(s))
	for c, f := range s {
		inverse[c] = 1 / f
	}
	if from := m.of(layer, g.from); from.rows == 1 {
		from.scaleColumns(inverse)
	} else {
		for c, f := range inverse {
			from.scaleRow(c, f)
		}
	}
	_, of := m.channels(layer, g)
	columns := make([]float64, len(of))
	for j, c := range of {
		columns[j] = s[c]
	}
	for _, tail := range g.to {
		m.of(layer, tail).scaleColumns(columns)
	}
}

// scaleColumns multiplies column j by s[j].
func (w *matrix) scaleColumns(s []float64) {
	parallel(w.rows, rowsPer(w.cols), func(from, to int) {
		for i := from; i < to; i++ {
			row := w.row(i)
			for j, x := range row {
				row[j] = float32(float64(x) * s[j])
			}
		}
	})
}

func (w *matrix) scaleRow(i int, s float64) {
	row := w.row(i)
	for j, x := range row {
		row[j] = float32(float64(x) * s)
	}
}

// rowsPer is how many rows are worth a goroutine's attention.
func rowsPer(cols int) int { return max(1<<16/cols, 1) }

// foldNorms moves the norms' weights into the linear layers that read them, so that a
// norm commutes with rotations. lm_head becomes a tensor of its own where the last
// norm's weights are not 1: the embedding is not to be scaled by them.
func (m *Model) foldNorms() {
	for i := range m.config.NumHiddenLayers {
		for _, g := range groups {
			if norm := m.of(i, g.from); norm.rows == 1 {
				var to []*matrix
				for _, tail := range g.to {
					to = append(to, m.of(i, tail))
				}
				foldNorm(norm, to...)
			}
		}
	}
	norm := m.tensor(format.NormName)
	if ones(norm.v) {
		return
	}
	if m.config.TieWordEmbeddings {
		m.config.TieWordEmbeddings = false
		e := m.tensor(format.EmbedName)
		m.tensors[format.LMHeadName] = &matrix{e.rows, e.cols, append([]float32(nil), e.v...)}
	}
	foldNorm(norm, m.tensor(format.LMHeadName))
}

func foldNorm(norm *matrix, to ...*matrix) {
	s := make([]float64, norm.cols)
	for j, x := range norm.v {
		s[j], norm.v[j] = float64(x), 1
	}
	for _, w := range to {
		w.scaleColumns(s)
	}
}

func ones(v []float32) bool {
	for _, x := range v {
		if x != 1 {
			return false
		}
	}
	return true
}
