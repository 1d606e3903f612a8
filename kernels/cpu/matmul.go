package cpu

import (
	"fmt"
	"unsafe"

	"github.com/llmqat/llmqat/kernels"
	"github.com/llmqat/llmqat/kernels/fp"
)

const (
	// matmulRows and matmulCols are a tile's: what its sums' registers hold.
	matmulRows = 6
	matmulCols = 16
	// matmulPanels is how many panels of matmulCols columns a chunk has at most: with
	// fp.Block inputs 64 KiB of the second-level cache, while a panel and the rows of a
	// tile stay in the first.
	matmulPanels = 4
	// matmulLeast is the number of rows for which packing b costs little.
	matmulLeast = 96
)

// matmulTile sets c [rows, 16], or adds to it where add is not 0: the product of a
// [rows, n], elements aRow and aStep apart, and b [n, 16], by chains of FMA from 0.
type matmulTile func(c *float32, cRow int, a *float32, aRow, aStep int, b *float32, n, add int)

// matmulKernels are the inner loops of matrix products.
type matmulKernels struct {
	tiles [matmulRows]matmulTile // of 1 to matmulRows rows

	// turn sets columns 0..7 of panel [n, matmulCols] to eight rows of n elements of x,
	// row elements apart; n is a multiple of 4.
	turn func(panel, x []float32, row, n int)
}

// matrix is a view of floats: element (i, j) stands at i·row + j·col.
type matrix struct {
	v        []float32
	row, col int
}

func matrixOf(f kernels.Floats, transposed bool) matrix {
	if transposed {
		return matrix{view(f.Buf), 1, f.Stride}
	}
	return matrix{view(f.Buf), f.Stride, 1}
}

// matmulScratch is a worker's memory.
type matmulScratch struct {
	b    [matmulPanels * matmulCols * fp.Block]float32 // [panels, fp.Block, matmulCols]
	edge [matmulRows * matmulCols]float32              // a tile of which c has only some columns
}

// matmulTask is a MatMul under way. A chunk is a span of rows by one of columns.
type matmulTask struct {
	kernels    *matmulKernels
	c, a, b    matrix
	m, n, k    int
	add        bool
	rows, cols int // of a chunk
	spans      int // of columns
	scratch    []*matmulScratch
}

// MatMul implements kernels.TrainDevice.
func (d *Device) MatMul(c, a, b kernels.Floats, op kernels.MatMulOp, add bool) {
	m, k, n, kb := a.Rows, a.Cols, b.Cols, b.Rows
	switch op {
	case kernels.MatMulNT:
		n, kb = b.Rows, b.Cols
	case kernels.MatMulTN:
		m, k = a.Cols, a.Rows
	}
	if k != kb || c.Rows != m || c.Cols != n {
		panic(fmt.Sprintf("cpu: MatMul %d: c [%d, %d], a [%d, %d], b [%d, %d]", op, c.Rows, c.Cols, a.Rows, a.Cols, b.Rows, b.Cols))
	}
	if m == 0 || n == 0 {
		return
	}
	t := &d.matmul
	t.kernels = &d.isa.matmul
	t.c, t.a, t.b = matrixOf(c, false), matrixOf(a, op == kernels.MatMulTN), matrixOf(b, op == kernels.MatMulNT)
	t.m, t.n, t.k, t.add = m, n, k, add
	for len(t.scratch) < d.pool.workers {
		t.scratch = append(t.scratch, new(matmulScratch))
	}
	d.run(t.cut(d.pool.workers), t)
}

// cut chooses the chunks' size and returns their number: as wide as they may be, for
// a's sake, but enough for all workers.
func (t *matmulTask) cut(workers int) int {
	want := 1
	if workers > 1 {
		want = chunksPerWorker * workers
	}
	spans := 1 // of rows
	for panels := matmulPanels; ; panels /= 2 {
		t.cols = panels * matmulCols
		t.spans = (t.n + t.cols - 1) / t.cols
		spans = max(1, min((want+t.spans-1)/t.spans, t.m/matmulLeast))
		if panels == 1 || spans*t.spans >= want {
			break
		}
	}
	t.rows = (t.m + spans - 1) / spans
	t.rows = (t.rows + matmulRows - 1) / matmulRows * matmulRows
	return (t.m + t.rows - 1) / t.rows * t.spans
}

func (t *matmulTask) run(worker, chunk int) {
	i, j := chunk/t.spans*t.rows, chunk%t.spans*t.cols
	c, a, b := t.c, t.a, t.b
	c.v, a.v, b.v = c.v[i*c.row+j:], a.v[i*a.row:], b.v[j*b.col:]
	t.kernels.multiply(t.scratch[worker], c, a, b, min(t.rows, t.m-i), min(t.cols, t.n-j), t.k, t.add)
}

// multiply sets c [m, n] to a [m, k] · b [k, n], or adds that to it; n is at most
// matmulPanels · matmulCols.
func (x *matmulKernels) multiply(s *matmulScratch, c, a, b matrix, m, n, k int, add bool) {
	if k == 0 && !add {
		for i := range m {
			clear(c.v[i*c.row:][:n])
		}
	}
	for from := 0; from < k; from += fp.Block {
		inputs := min(fp.Block, k-from)
		x.pack(s, matrix{b.v[from*b.row:], b.row, b.col}, n, inputs)
		plus := 0
		if add || from > 0 {
			plus = 1
		}
		for i := 0; i < m; i += matmulRows {
			rows := min(matmulRows, m-i)
			tile, in := x.tiles[rows-1], &a.v[i*a.row+from*a.col]
			for j := 0; j < n; j += matmulCols {
				panel := &s.b[j*fp.Block]
				if n-j >= matmulCols {
					tile(&c.v[i*c.row+j], c.row, in, a.row, a.col, panel, inputs, plus)
					continue
				}
				tile(&s.edge[0], matmulCols, in, a.row, a.col, panel, inputs, 0)
				for r := range rows {
					out := c.v[(i+r)*c.row+j:][:n-j]
					for e := range out {
						store(&out[e], s.edge[r*matmulCols+e], plus > 0)
					}
				}
			}
		}
	}
}

// pack copies b [k, n] to panels, the last one filled with zeros.
func (x *matmulKernels) pack(s *matmulScratch, b matrix, n, k int) {
	for j := 0; j < n; j += matmulCols {
		panel, cols := s.b[j*fp.Block:][:k*matmulCols], min(matmulCols, n-j)
		if cols < matmulCols {
			clear(panel)
		}
		if b.col == 1 {
			for p := range k {
				to, from := panel[p*matmulCols:][:matmulCols], b.v[p*b.row+j:]
				if cols == matmulCols {
					*(*[matmulCols]float32)(to) = *(*[matmulCols]float32)(from) // no call
				} else {
					copy(to[:cols], from)
				}
			}
			continue
		}
		whole, turned := k&^3, cols&^7 // b.row is 1
		for e := 0; e < turned; e += 8 {
			if whole > 0 {
				x.turn(panel[e:], b.v[(j+e)*b.col:], b.col, whole)
			}
		}
		for e := range cols {
			first := 0
			if e < turned {
				first = whole
			}
			for p := first; p < k; p++ {
				panel[p*matmulCols+e] = b.v[(j+e)*b.col+p]
			}
		}
	}
}

// matmulGeneric is the definition of a tile.
func matmulGeneric(rows int) matmulTile {
	return func(c *float32, cRow int, a *float32, aRow, aStep int, b *float32, n, add int) {
		out, in, panel := unsafe.Slice(c, (rows-1)*cRow+matmulCols), unsafe.Slice(a, (rows-1)*aRow+(n-1)*aStep+1), unsafe.Slice(b, n*matmulCols)
		for r := range rows {
			for j := range matmulCols {
				var sum float32
				for i := range n {
					sum = fp.FMA(panel[i*matmulCols+j], in[r*aRow+i*aStep], sum)
				}
				store(&out[r*cRow+j], sum, add != 0)
			}
		}
	}
}

func turnGeneric(panel, x []float32, row, n int) {
	for e := range 8 {
		for p, v := range x[e*row:][:n] {
			panel[p*matmulCols+e] = v
		}
	}
}

var matmulGenerics = matmulKernels{
	[...]matmulTile{matmulGeneric(1), matmulGeneric(2), matmulGeneric(3), matmulGeneric(4), matmulGeneric(5), matmulGeneric(6)}, turnGeneric,
}
