package kernels

import (
	"fmt"
	"strings"
	"testing"

	"github.com/llmqat/llmqat/kernels/quant"
)

// operands are those of every operator: 2 tokens, 64 columns, 4 query heads and 2 of
// the cache, of 16.
type operands struct {
	x, out, gateUp, qkv Floats
	ints, floats        Rows // [2, 64]
	q                   Rows // [8, 16]
	weight              Buf[float32]
	ids, rows, draws    Buf[int32]
	table               Weight
	w                   []Weight // int4 and int8 [32, 64]
	kv                  KVCache
	batch               Batch
	rope                RoPE
}

func bufOf[T Elem](n int) Buf[T] { return Buf[T]{N: n} }

func matrix(rows, cols int) Floats {
	return Floats{bufOf[float32](rows * cols), rows, cols, cols}
}

func intRows(n, cols int) Rows {
	return Rows{Bits: 8, N: n, Cols: cols, Stride: cols, Q: bufOf[int8](n * cols), Scale: bufOf[float32](n), Sum: bufOf[int32](n)}
}

func rightOperands() *operands {
	o := &operands{
		x: matrix(2, 64), out: matrix(2, 64), gateUp: matrix(2, 128), qkv: matrix(2, (4+2*2)*16),
		ints: intRows(2, 64), floats: Rows{Bits: 16, N: 2, Cols: 64, Stride: 64, F: matrix(2, 64)}, q: intRows(2*4, 16),
		weight: bufOf[float32](64), ids: bufOf[int32](2), rows: bufOf[int32](2), draws: bufOf[int32](2 * DrawWords),
		table: Weight{Type: Float16, Data: bufOf[uint8](9 * 128), Out: 9, In: 64},
		w: []Weight{
			{Int4, bufOf[uint8](32 * 32), bufOf[float32](32), 32, 64},
			{Int8, bufOf[uint8](32 * 64), bufOf[float32](32), 32, 64},
		},
		batch: Batch{Positions: bufOf[int32](2), Slots: bufOf[int32](2), QueryStart: bufOf[int32](2), SeqLens: bufOf[int32](1),
			PageTable: bufOf[int32](3), T: 2, S: 1, MaxPages: 3},
		rope: RoPE{bufOf[float32](100 * 8), bufOf[float32](100 * 8), 100, 16},
	}
	o.cache(quant.KVHeadZP)
	return o
}

// cache makes the cache one of 4 bits.
func (o *operands) cache(scheme quant.KVScheme) {
	format := quant.KV{Bits: 4, Scheme: scheme}
	bytes, scales := bufOf[uint8](3*PageTokens*2*8), bufOf[uint16](3*PageTokens*format.Groups(2))
	o.kv = KVCache{KV: format, K: bytes, V: bytes, KScale: scales, VScale: scales, Pages: 3, KVHeads: 2, HeadDim: 16}
	if format.HasZero() {
		o.kv.KZero, o.kv.VZero = scales, scales
	}
}

// rotatesOnRead makes the cache one whose attention rotates keys.
func (o *operands) rotatesOnRead() {
	o.cache(quant.KVToken)
	o.q = Rows{Bits: 16, N: 8, Cols: 16, Stride: 16, F: matrix(8, 16)}
}

// oneHead leaves one head, of queries and of the cache.
func (o *operands) oneHead() {
	o.kv.KVHeads, o.q, o.qkv, o.out = 1, intRows(2, 16), matrix(2, 3*16), matrix(2, 16)
}

// TestChecks wants every check to take right operands, without allocating, and to
// refuse each wrong one with a message that names it.
func TestChecks(t *testing.T) {
	type wrong struct {
		want string
		do   func(o *operands)
	}
	rows := func(r func(o *operands) *Rows, name string) []wrong { // what any rows may lack
		return []wrong{
			{name + " has 127 values, 2 scales and 2 sums, [2, 64] with rows 64 apart takes 128", func(o *operands) { r(o).Q.N-- }},
			{name + " has 128 values, 1 scales", func(o *operands) { r(o).Scale.N-- }},
			{name + " has 128 values, 2 scales and 1 sums", func(o *operands) { r(o).Sum.N-- }},
			{name + " has 127 floats with rows 64 apart, [2, 64]", func(o *operands) { *r(o) = o.floats; r(o).F.N-- }},
			{name + " has 128 floats with rows 65 apart, [2, 64] with rows 64 apart", func(o *operands) { *r(o) = o.floats; r(o).F.Stride++ }},
		}
	}
	for _, op := range []struct {
		name  string
		call  func(o *operands)
		right []func(o *operands) // beside rightOperands
		wrong []wrong
	}{
		{
			name: "Embed",
			call: func(o *operands) { CheckEmbed("cpu: Embed", o.out, o.table, o.ids) },
			wrong: []wrong{
				{"table is int8, want floats", func(o *operands) { o.table = o.w[1] }},
				{"out is [3, 64] with rows 64 apart, for 2 ids and a table of [9, 64]", func(o *operands) { o.out = matrix(3, 64) }},
				{"out is [2, 128]", func(o *operands) { o.out = matrix(2, 128) }},
				{"out is [2, 64] with rows 65 apart", func(o *operands) { o.out.Stride++ }},
				{"for 3 ids", func(o *operands) { o.ids.N++ }},
				{"table of [9, 65]", func(o *operands) { o.table.In++ }},
				{"table has 1152 bytes, float16 [10, 64] takes 1280", func(o *operands) { o.table.Out++ }},
				{"out has 127 floats, [2, 64] with rows 64 apart takes 128", func(o *operands) { o.out.N-- }},
			},
		},
		{
			name:  "RMSNorm",
			call:  func(o *operands) { CheckRMSNorm("cpu: RMSNorm", o.ints, o.x, o.weight) },
			right: []func(o *operands){func(o *operands) { o.ints = o.floats }, func(o *operands) { o.weight.N++ }},
			wrong: append(rows(func(o *operands) *Rows { return &o.ints }, "out"), []wrong{
				{"out is [3, 64], x is [2, 64] with rows 64 apart, weight is [64]", func(o *operands) { o.ints = intRows(3, 64) }},
				{"out is [2, 56]", func(o *operands) { o.ints = intRows(2, 56) }},
				{"weight is [63]", func(o *operands) { o.weight.N-- }},
				{"rows 65 apart", func(o *operands) { o.x.Stride++ }},
				{"x has 127 floats, [2, 64]", func(o *operands) { o.x.N-- }},
			}...),
		},
		{
			name:  "Quantize",
			call:  func(o *operands) { CheckQuantize("cpu: Quantize", o.ints, o.x) },
			right: []func(o *operands){func(o *operands) { o.ints = o.floats }},
			wrong: append(rows(func(o *operands) *Rows { return &o.ints }, "out"), []wrong{
				{"out is [3, 64], x is [2, 64]", func(o *operands) { o.ints = intRows(3, 64) }},
				{"out is [2, 64], x is [2, 65]", func(o *operands) { o.x = matrix(2, 65) }},
				{"x has 127 floats", func(o *operands) { o.x.N-- }},
				{"out has 128 values, 2 scales and 2 sums, [2, 64] with rows 63 apart", func(o *operands) { o.ints.Stride-- }},
				{"out has 128 floats with rows 63 apart, [2, 64]", func(o *operands) { o.ints = o.floats; o.ints.Stride, o.ints.F.Stride = 63, 63 }},
				{"x has 128 floats, [2, 64] with rows 63 apart", func(o *operands) { o.x.Stride-- }},
			}...),
		},
		{
			name: "Linear",
			call: func(o *operands) { CheckLinear("cpu: Linear", o.out, o.ints, o.w) },
			right: []func(o *operands){
				func(o *operands) { o.ints = o.floats },
				func(o *operands) { o.ints, o.out, o.w = o.floats, matrix(2, 9), []Weight{o.table} },
			},
			wrong: append(rows(func(o *operands) *Rows { return &o.ints }, "x"), []wrong{
				{"x is [2, 65] with rows 64 apart, w[0] takes 64 padded to 64", func(o *operands) { o.ints.Cols++ }},
				{"x is [2, 64] with rows 128 apart, w[0] takes 64 padded to 64", func(o *operands) { o.ints.Stride = 128 }},
				{"w[1] takes 65 padded to 128", func(o *operands) { o.w[1].In++ }},
				{"x has 8 bits, w[1] is float32: integer rows take int4 or int8", func(o *operands) { o.w[1].Type = Float32 }},
				{"w[0] has 1023 bytes, int4 [32, 64] takes 1024", func(o *operands) { o.w[0].Data.N-- }},
				{"w[1] has 31 scales for 32 rows", func(o *operands) { o.w[1].Scale.N-- }},
				{"out is [3, 64], x · wᵀ is [2, 64]", func(o *operands) { o.out = matrix(3, 64) }},
				{"out is [2, 64], x · wᵀ is [2, 32]", func(o *operands) { o.w = o.w[:1] }},
				{"out has 127 floats", func(o *operands) { o.out.N-- }},
			}...),
		},
		{
			name:  "RoPEAppendKV",
			call:  func(o *operands) { CheckRoPEAppendKV("cpu: RoPEAppendKV", o.q, o.kv, o.qkv, &o.batch, o.rope) },
			right: []func(o *operands){(*operands).rotatesOnRead, (*operands).oneHead, func(o *operands) { o.cache(quant.KVHead) }},
			wrong: []wrong{
				{"q is [9, 16], qkv [2, 128], batch 2 tokens, cache 2 heads of 16, rope for 16", func(o *operands) { o.q = intRows(9, 16) }},
				{"q is [8, 17]", func(o *operands) { o.q = intRows(8, 17) }},
				{"qkv [3, 128]", func(o *operands) { o.qkv = matrix(3, 128) }},
				{"qkv [2, 129]", func(o *operands) { o.qkv = matrix(2, 129) }},
				{"q is [0, 16], qkv [2, 64]", func(o *operands) { o.q, o.qkv = intRows(0, 16), matrix(2, 64) }},
				{"rope for 18", func(o *operands) { o.rope.HeadDim = 18 }},
				{"1 positions and 2 slots for 2 tokens", func(o *operands) { o.batch.Positions.N-- }},
				{"2 positions and 1 slots for 2 tokens", func(o *operands) { o.batch.Slots.N-- }},
				{"rope has 799 cosines and 800 sines, 100 positions of heads of 16 take 800", func(o *operands) { o.rope.Cos.N-- }},
				{"rope has 800 cosines and 799 sines", func(o *operands) { o.rope.Sin.N-- }},
				{"qkv has 255 floats", func(o *operands) { o.qkv.N-- }},
				{"q has 127 values", func(o *operands) { o.q.Q.N-- }},
				{"cache has 2 heads of 0, want one or more of an even number up to 256", func(o *operands) { o.kv.HeadDim = 0 }},
				{"cache has 2 heads of 15", func(o *operands) { o.kv.HeadDim = 15 }},
				{"cache has 2 heads of 258", func(o *operands) { o.kv.HeadDim = 258 }},
				{"cache has 0 heads of 16", func(o *operands) { o.kv.KVHeads = 0 }},
				{"cache has 3071 and 3072 bytes of K and V, 384 and 384 scales, 384 and 384 zeros; 3 pages of 2 heads of 16 take 3072, 384 and 384",
					func(o *operands) { o.kv.K.N-- }},
				{"cache has 3072 and 3071 bytes", func(o *operands) { o.kv.V.N-- }},
				{"383 and 384 scales", func(o *operands) { o.kv.KScale.N-- }},
				{"384 and 383 scales", func(o *operands) { o.kv.VScale.N-- }},
				{"383 and 384 zeros", func(o *operands) { o.kv.KZero.N-- }},
				{"384 and 383 zeros", func(o *operands) { o.kv.VZero.N-- }},
			},
		},
		{
			name:  "Draw",
			call:  func(o *operands) { CheckDraw("cpu: Draw", o.ids, o.x, o.draws) },
			right: []func(o *operands){func(o *operands) { o.x.Cols = 57 }},
			wrong: []wrong{
				{"3 ids and 16 words of draws for logits [2, 64] with rows 64 apart; want an id and 8 words a row, of 1 to 8388608 logits", func(o *operands) { o.ids.N++ }},
				{"15 words", func(o *operands) { o.draws.N-- }},
				{"logits [2, 0]", func(o *operands) { o.x.Cols = 0 }},
				{"logits [2, 8388609]", func(o *operands) { o.x = matrix(2, 1<<23+1) }},
				{"rows 65 apart", func(o *operands) { o.x.Stride++ }},
				{"logits has 127 floats", func(o *operands) { o.x.N-- }},
			},
		},
		{
			name:  "PagedAttention",
			call:  func(o *operands) { CheckPagedAttention("cpu: PagedAttention", o.out, o.q, o.kv, &o.batch, o.rope) },
			right: []func(o *operands){(*operands).rotatesOnRead, (*operands).oneHead, func(o *operands) { o.rope = RoPE{} }},
			wrong: []wrong{
				{"out is [3, 64], q [8, 16], batch 2 tokens, cache 2 heads of 16", func(o *operands) { o.out = matrix(3, 64) }},
				{"out is [2, 65]", func(o *operands) { o.out = matrix(2, 65) }},
				{"out is [2, 0], q [0, 16]", func(o *operands) { o.out, o.q = matrix(2, 0), intRows(0, 16) }},
				{"out is [2, 48], q [6, 16]", func(o *operands) { o.out, o.q = matrix(2, 48), intRows(6, 16) }},
				{"q [9, 16]", func(o *operands) { o.q = intRows(9, 16) }},
				{"q [8, 17]", func(o *operands) { o.q = intRows(8, 17) }},
				{"batch 3 tokens", func(o *operands) { o.batch.T++ }},
				{"queries of 8 bits with a cache of 16 bits", func(o *operands) { o.kv.Bits, o.kv.K.N, o.kv.V.N = 16, 12288, 12288 }},
				{"queries of 8 bits with a cache of 4 bits, scheme token", func(o *operands) { o.kv.Scheme = quant.KVToken }},
				{"rope for heads of 18, cache of 16", func(o *operands) { o.rotatesOnRead(); o.rope.HeadDim = 18 }},
				{"rope has 799 cosines", func(o *operands) { o.rotatesOnRead(); o.rope.Cos.N-- }},
				{"1 positions for 2 tokens; 2 starts, 1 lengths and 3 pages for 1 sequences of up to 3", func(o *operands) { o.batch.Positions.N-- }},
				{"1 starts", func(o *operands) { o.batch.QueryStart.N-- }},
				{"0 lengths", func(o *operands) { o.batch.SeqLens.N-- }},
				{"2 pages", func(o *operands) { o.batch.PageTable.N-- }},
				{"out has 127 floats", func(o *operands) { o.out.N-- }},
				{"q has 127 values", func(o *operands) { o.q.Q.N-- }},
				{"cache has 3071 and 3072 bytes", func(o *operands) { o.kv.K.N-- }},
			},
		},
		{
			name:  "SwiGLU",
			call:  func(o *operands) { CheckSwiGLU("cpu: SwiGLU", o.ints, o.gateUp) },
			right: []func(o *operands){func(o *operands) { o.ints = o.floats }},
			wrong: append(rows(func(o *operands) *Rows { return &o.ints }, "out"), []wrong{
				{"out is [3, 64], gateUp is [2, 128]", func(o *operands) { o.ints = intRows(3, 64) }},
				{"out is [2, 64], gateUp is [2, 64]", func(o *operands) { o.gateUp = o.x }},
				{"gateUp has 255 floats", func(o *operands) { o.gateUp.N-- }},
			}...),
		},
		{
			name:  "Gather",
			call:  func(o *operands) { CheckGather("cpu: Gather", o.out, o.x, o.rows) },
			right: []func(o *operands){func(o *operands) { o.x = matrix(9, 64) }},
			wrong: []wrong{
				{"out is [3, 64], x is [2, 64], rows are [2]", func(o *operands) { o.out = matrix(3, 64) }},
				{"out is [2, 64], x is [2, 65]", func(o *operands) { o.x = matrix(2, 65) }},
				{"rows are [3]", func(o *operands) { o.rows.N++ }},
				{"out has 127 floats", func(o *operands) { o.out.N-- }},
				{"x has 127 floats", func(o *operands) { o.x.N-- }},
			},
		},
	} {
		t.Run(op.name, func(t *testing.T) {
			for i, do := range append(op.right, func(*operands) {}) {
				o := rightOperands()
				do(o)
				if n := testing.AllocsPerRun(5, func() { op.call(o) }); n != 0 {
					t.Errorf("right operands %d: the check allocates %v times", i, n)
				}
			}
			for _, w := range op.wrong {
				func() {
					o := rightOperands()
					w.do(o)
					defer func() {
						got := fmt.Sprint(recover())
						if !strings.HasPrefix(got, "cpu: "+op.name+": ") || !strings.Contains(got, w.want) {
							t.Errorf("panic %q, want %q", got, w.want)
						}
					}()
					op.call(o)
				}()
			}
		})
	}
}
