package kerneltest

import (
	"fmt"
	"strings"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/quant"
)

// testMisuse wants every operator to check its operands (kernels.CheckLinear and so
// on): one row too many panics, naming the operator.
func testMisuse(e *env) {
	const n, cols, vocab = 2, 64, 5
	x, out := e.outFloats(n, cols), e.outFloats(n+1, cols)
	rows, ids := e.rows(n+1, cols, 8), upload(e, make([]int32, n))
	table := kernels.Weight{Type: kernels.Float32, Data: upload(e, make([]byte, vocab*cols*4)), Out: vocab, In: cols}
	w := kernels.Weight{Type: kernels.Int8, Data: upload(e, make([]byte, cols*cols)), Scale: upload(e, make([]float32, cols)), Out: cols, In: cols}
	format := quant.KV{Bits: 8, Scheme: quant.KVHead}
	kv := must(kernels.NewKVCache(e.dev, format, 1, 1, cols))(e)
	e.mems = append(e.mems, kv.K.Mem, kv.V.Mem, kv.KScale.Mem, kv.VScale.Mem)
	b := &kernels.Batch{Positions: ids, Slots: ids, QueryStart: ids, SeqLens: ids, PageTable: ids, T: n, S: 1, MaxPages: 1}
	rope := kernels.RoPE{Cos: upload(e, make([]float32, cols/2)), Sin: upload(e, make([]float32, cols/2)), Positions: 1, HeadDim: cols}
	operators := map[string]func(){
		"Embed":          func() { e.dev.Embed(out, table, ids) },
		"RMSNorm":        func() { e.dev.RMSNorm(rows, x, x.Buf, 1e-5) },
		"Quantize":       func() { e.dev.Quantize(rows, x) },
		"Linear":         func() { e.dev.Linear(out, rows.First(n), w) },
		"LinearAdd":      func() { e.dev.LinearAdd(out, rows.First(n), w) },
		"RoPEAppendKV":   func() { e.dev.RoPEAppendKV(rows, kv, e.outFloats(n, 3*cols), b, rope) },
		"PagedAttention": func() { e.dev.PagedAttention(out, rows.First(n), kv, b, rope) },
		"SwiGLU":         func() { e.dev.SwiGLU(rows, e.outFloats(n, 2*cols)) },
		"Gather":         func() { e.dev.Gather(out, x, ids) },
	}
	if d, ok := e.dev.(kernels.Drawer); ok {
		draws := upload(e, make([]int32, n*kernels.DrawWords))
		operators["Draw"] = func() { d.Draw(ids, out, draws) }
	}
	for name, run := range operators {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, ": "+name+": ") {
					e.Errorf("%s of one row too many: panic %q, want one that names it", name, got)
				}
			}()
			run()
		}()
	}
}
