package bench

import (
	"slices"

	"github.com/llmqat/llmqat/format/qat"
	"github.com/llmqat/llmqat/kernels"
)

// linearKind is the section of linear layers, and linearSum the sum over all of a
// model's.
const (
	linearKind = "linear layers"
	linearSum  = "all"
)

// linear returns every linear layer with each number of tokens, and behind them all of
// a model's together: its layers', and lm_head for every token.
func (m *microMemory) linear(q qat.Quantization, tokens []int) (list []*operator, err error) {
	layers := m.layers(q)
	windows := make([][][]kernels.Weight, len(layers))
	for i := range layers {
		if windows[i], err = m.windows(&layers[i]); err != nil {
			return nil, err
		}
	}
	for _, n := range slices.Compact(slices.Sorted(slices.Values(tokens))) {
		all := &operator{Operator: Operator{Name: linearSum, Tokens: n}}
		for i := range layers {
			op, err := m.linearOp(&layers[i], windows[i], n)
			if err != nil {
				return nil, err
			}
			if layers[i].typ != layers[0].typ {
				op.Name += " " + layers[i].typ.String()
			}
			list, all.sum = append(list, op), append(all.sum, part{op, layers[i].times})
		}
		list = append(list, all)
	}
	return list, nil
}

// linearOp returns l of n tokens, which goes through the windows in turn.
func (m *microMemory) linearOp(l *layer, windows [][]kernels.Weight, n int) (*operator, error) {
	x, err := m.input(n, l.in, l.bits)
	if err != nil {
		return nil, err
	}
	outs := 0
	for _, o := range l.outs {
		outs += o
	}
	out, err := kernels.NewFloats(m.dev, n, outs)
	if err != nil {
		return nil, err
	}
	op := &operator{Operator: Operator{Name: l.name, Tokens: n, Bytes: int64(l.bytes()) + rowBytes(x) + floatBytes(out)}}
	if l.add {
		op.Bytes += floatBytes(out)
	}
	macs := int64(n) * int64(l.in) * int64(outs)
	if op.FloatMACs = macs; l.bits < 16 {
		op.IntMACs, op.FloatMACs = macs, 0
		if l.typ == kernels.Int8 {
			op.weightBits = 8
		}
	}
	op.run = func(i int) error {
		w := windows[i%len(windows)]
		if l.add {
			m.dev.LinearAdd(out, x, w[0])
		} else {
			m.dev.Linear(out, x, w...)
		}
		return nil
	}
	return op, nil
}
