package nn

import (
	"fmt"

	"github.com/llmqat/llmqat/kernels"
)

// Loss is what a student is to make small:
//
//	Weight · Σ tokens with a target (Soft·KL(teacher ‖ student) + (1-Soft)·(-ln student[target])) +
//	Σ tokens Σ layers (Attention · mean over heads of KL(teacher's attention ‖ student's) + Hidden · Σ(s-t)²/Σt²)
//
// where a token's attention are the weights of the tokens up to it, and s and t are the
// student's and the teacher's residual stream behind the layer: what the student is off
// by, as a part of what the teacher has there. Both models have one shape.
type Loss struct {
	Weight, Soft      float32
	Attention, Hidden float32
}

// Of is the loss of what was measured.
func (l Loss) Of(s Stats) float64 {
	return float64(l.Weight)*(float64(l.Soft)*s.KL+float64(1-l.Soft)*s.CE) + float64(l.Attention)*s.Attention + float64(l.Hidden)*s.Hidden
}

// Stats sum up how a student does on the tokens of one or more batches.
type Stats struct {
	Tokens    int     // those with a target
	KL        float64 // Σ KL(teacher ‖ student), nats
	CE        float64 // Σ -ln student[target]
	TeacherCE float64 // Σ -ln teacher[target]
	Same      float64 // tokens at which both find the same token the most likely

	// Where the loss has weights for them:
	Positions int     // all tokens
	Attention float64 // Σ over them and layers of the mean over heads of KL(teacher's attention ‖ student's)
	Hidden    float64 // Σ over them and layers of Σ(s-t)²/Σt²
}

// Add adds the tokens of t.
func (s *Stats) Add(t Stats) {
	s.Tokens, s.KL, s.CE, s.TeacherCE, s.Same = s.Tokens+t.Tokens, s.KL+t.KL, s.CE+t.CE, s.TeacherCE+t.TeacherCE, s.Same+t.Same
	s.Positions, s.Attention, s.Hidden = s.Positions+t.Positions, s.Attention+t.Attention, s.Hidden+t.Hidden
}

// attentionLike is what a layer's attention is to be like: a teacher's, or nothing.
type attentionLike struct {
	teacher *acts
	weight  float32
}

// attention is what the loss wants of layer i's.
func (l Loss) attention(teacher *Model, i int) attentionLike {
	if l.Attention == 0 {
		return attentionLike{}
	}
	if len(teacher.pass.acts) < len(teacher.layers) {
		panic(fmt.Sprintf("nn: attention of %d layers is to be compared with that of a teacher that keeps %d: want its option KeepMaps", len(teacher.layers), len(teacher.pass.acts)))
	}
	return attentionLike{teacher.actsOf(i), l.Attention}
}

// compareAttention adds to the gaps those of the layer's attention from the one that it is
// to be like, and to dq and dk, where they are not empty, the gradient of that.
func (l *layer) compareAttention(p *pass, dq, dk kernels.Floats, a *acts, like attentionLike) {
	if like.weight == 0 {
		return
	}
	if p.serving.on && dq.Rows == 0 { // with a gradient CausalAttentionGrad has set them
		q, k, v := l.split(a.qkv)
		p.dev.CausalAttention(kernels.Floats{}, a.stats, q, k, v, p.seqs)
	}
	p.dev.DistillAttention(dq, dk, p.gaps.Columns(0, l.heads), l.attended(a), l.attended(like.teacher), p.seqs, like.weight/float32(l.heads))
}

func (s *shape) attended(a *acts) kernels.Attended {
	q, k, _ := s.split(a.qkv)
	return kernels.Attended{Q: q, K: k, Stats: a.stats}
}

// compareHidden does the same with the hidden states behind layer i, and their gradient.
func (m *Model) compareHidden(i int, dx kernels.Floats, teacher *Model, l Loss) {
	if l.Hidden == 0 {
		return
	}
	p, heads := &m.pass, m.shape.heads
	m.dev.DistillHidden(dx, p.gaps.Columns(heads, heads+1), p.x[i+1], teacher.pass.x[i+1], l.Hidden)
}

func (l Loss) compares() bool { return l.Attention != 0 || l.Hidden != 0 }

// clearGaps begins, and addGaps ends, a comparison of all layers.
func (m *Model) clearGaps(l Loss) {
	if l.compares() {
		m.dev.Clear(m.pass.gaps)
	}
}

func (m *Model) addGaps(s *Stats, l Loss) error {
	if l.compares() {
		gaps, heads := m.pass.gaps, m.shape.heads
		host := m.hostGaps[:gaps.N]
		s.Positions += gaps.Rows
		kernels.Download(m.dev, host, gaps.Buf)
		for i := range gaps.Rows {
			row := host[i*gaps.Stride:][:heads+1]
			for _, v := range row[:heads] {
				s.Attention += float64(v) / float64(heads)
			}
			s.Hidden += float64(row[heads])
		}
	}
	return m.dev.Sync()
}
