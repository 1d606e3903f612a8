package ptq

import "math"

// symmetric is a symmetric matrix [n, n].
type symmetric struct {
	n int
	v []float64
}

func newSymmetric(n int) *symmetric { return &symmetric{n, make([]float64, n*n)} }

// float32s returns a, rounded.
func (a *symmetric) float32s() []float32 {
	v := make([]float32, len(a.v))
	for i, x := range a.v {
		v[i] = float32(x)
	}
	return v
}

func (a *symmetric) row(i int) []float64 { return a.v[i*a.n:][:a.n] }

// factorBlock is how many columns a step of invertedFactor takes, so that a row is read
// once for all of them.
const factorBlock = 64

// invertedFactor replaces the positive definite a by U of a⁻¹ = Uᵀ·U, U upper
// triangular: U[i,j] stands at row j, column i, so that U's columns are contiguous. It
// reports false where a is not positive definite.
//
// a = R·Rᵀ with R upper triangular, from the last column to the first; U = R⁻¹. R
// takes a's upper triangle, U the lower one, column by column: column j of U needs R
// and itself alone. n³/3 multiplications.
func (a *symmetric) invertedFactor() bool {
	for to := a.n; to > 0; to -= factorBlock {
		from := max(to-factorBlock, 0)
		parallel(to, 16, func(i0, i1 int) { // what later columns take off
			for i := i0; i < i1; i++ {
				row := a.row(i)
				for j := max(from, i); j < to; j++ {
					row[j] -= dot(row[to:], a.row(j)[to:])
				}
			}
		})
		for j := to - 1; j >= from; j-- { // the block's own triangle
			row := a.row(j)
			row[j] -= dot(row[j+1:to], row[j+1:to])
			if !(row[j] > 0) || math.IsInf(row[j], 1) {
				return false
			}
			row[j] = math.Sqrt(row[j])
			for i := from; i < j; i++ {
				up := a.row(i)
				up[j] = (up[j] - dot(up[j+1:to], row[j+1:to])) / row[j]
			}
		}
		parallel(from, 16, func(i0, i1 int) { // the rows above it
			for i := i0; i < i1; i++ {
				row := a.row(i)
				for j := to - 1; j >= from; j-- {
					at := a.row(j)
					row[j] = (row[j] - dot(row[j+1:to], at[j+1:to])) / at[j]
				}
			}
		})
	}
	diagonal := make([]float64, a.n) // of R
	for i := range diagonal {
		diagonal[i] = a.v[i*a.n+i]
	}
	parallel(a.n, 4, func(from, to int) {
		for j := from; j < to; j++ {
			u := a.row(j)[: j+1 : j+1]
			u[j] = 1 / diagonal[j]
			for i := j - 1; i >= 0; i-- {
				u[i] = -dot(a.row(i)[i+1:j+1], u[i+1:]) / diagonal[i]
			}
		}
	})
	return true
}

// dot returns Σ a·b in four chains: the order depends on the length alone.
func dot(a, b []float64) float64 {
	var s0, s1, s2, s3 float64
	b = b[:len(a)]
	for ; len(a) >= 4; a, b = a[4:], b[4:] {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
	}
	for i, x := range a {
		s0 += x * b[i]
	}
	return s0 + s1 + (s2 + s3)
}
