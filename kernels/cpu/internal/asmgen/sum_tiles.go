package asmgen

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sumTiles is the frame of valueKernels' sums: o [rows, dim] += p [rows, n] · v [n, dim]
// in tiles of some rows and some vectors of each, whose sums stay in registers for all n
// values. size is a vector's bytes, planes those from row to row of p, and step the number
// of values that stand side by side in v: an element of sums has as many bytes as they.
type sumTiles struct{ size, planes, step int }

// tileShape is a tile's rows and their vectors: the first number while as many are left
// of a row, then the next.
type tileShape struct {
	rows    int
	vectors []int
}

// sumTile is one of them.
type sumTile struct {
	sumTiles
	rows, vectors                int
	o, p, v, n, dim, dim3, value reg.GPVirtual // dim: bytes of a row of sums, and of step values
}

// emit emits a function's body: tiles of the first shape while as many rows are left,
// then of the next. start comes before a row's tiles.
func (f sumTiles) emit(c *build.Context, shapes []tileShape, start, tile func(t sumTile)) {
	t := sumTile{sumTiles: f, o: base(c, "o"), p: base(c, "p"), v: base(c, "v"), n: integer(c, "n"), dim: integer(c, "dim"), dim3: c.GP64(), value: c.GP64()}
	left := length(c, "o") // bytes
	c.SHLQ(operand.U8(2), left)
	c.SHLQ(operand.U8(2), t.dim)
	c.LEAQ(operand.Mem{Base: t.dim, Index: t.dim, Scale: 2}, t.dim3)
	for _, shape := range shapes {
		t.rows = shape.rows
		rows, done := fmt.Sprintf("rows%d", t.rows), fmt.Sprintf("done%d", t.rows)
		need, bytes := c.GP64(), c.GP64()
		c.Label(rows)
		c.IMUL3Q(operand.U8(t.rows), t.dim, need)
		c.CMPQ(left, need)
		c.JLT(operand.LabelRef(done))
		c.SUBQ(need, left)
		start(t)
		c.MOVQ(t.dim, bytes)
		for _, t.vectors = range shape.vectors {
			loop, next := fmt.Sprintf("chunk%dx%d", t.rows, t.vectors), fmt.Sprintf("end%dx%d", t.rows, t.vectors)
			c.Label(loop)
			c.CMPQ(bytes, operand.U32(t.size*t.vectors))
			c.JLT(operand.LabelRef(next))
			tile(t)
			c.ADDQ(operand.U32(t.size*t.vectors), t.o)
			c.ADDQ(operand.U32(t.size*t.vectors), t.v)
			c.SUBQ(operand.U32(t.size*t.vectors), bytes)
			c.JMP(operand.LabelRef(loop))
			c.Label(next)
		}
		c.SUBQ(t.dim, t.v)
		if t.rows > 1 {
			c.LEAQ(t.sum(t.rows-1, 0), t.o)
		}
		c.ADDQ(operand.U32(t.rows*t.planes), t.p)
		c.JMP(operand.LabelRef(rows))
		c.Label(done)
	}
	ret(c)
}

// sum is the address of vector i of row r.
func (t sumTile) sum(r, i int) operand.Mem {
	return strided(t.o, map[int]reg.GPVirtual{1: t.dim, 3: t.dim3}, r, t.size*i)
}

// weight is the address of row r's weights of the values from i on, bytes of each.
func (t sumTile) weight(r int, i reg.GPVirtual, bytes uint8) operand.Mem {
	return indexed(t.p, i, bytes).Offset(r * t.planes)
}

// each emits the loop over the values, which stand at value, step at a time.
func (t sumTile) each(c *build.Context, body func(i reg.GPVirtual)) {
	c.MOVQ(t.v, t.value)
	each(c, fmt.Sprintf("tile%dx%d", t.rows, t.vectors), t.n, t.step, func(i reg.GPVirtual) {
		body(i)
		c.ADDQ(t.dim, t.value)
	})
}
