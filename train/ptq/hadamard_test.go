package ptq

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// R·Rᵀ = 1 to 1e-12, whole for small sizes, else some rows of it, and no element exceeds
// √(2/n).
func TestRotation(t *testing.T) {
	for _, n := range []int{1, 2, 3, 6, 8, 43, 64, 172, 192, 4096, 5120} {
		r := newRotation(n, rand.NewPCG(5, 0))
		at := min(n, 200)
		rows := make([][]float64, at)
		for i := range rows {
			rows[i] = make([]float64, n)
			rows[i][i*n/at] = 1
			r.turn(rows[i])
			if top := max(slices.Max(rows[i]), -slices.Min(rows[i])); top > math.Sqrt(2/float64(n))+1e-12 {
				t.Errorf("n=%d: an element of %v", n, top)
			}
		}
		for i := range rows {
			for j := range i + 1 {
				want := 0.0
				if i == j {
					want = 1
				}
				if got := dot(rows[i], rows[j]); math.Abs(got-want) > 1e-12 {
					t.Fatalf("n=%d: rows %d and %d have product %v", n, i, j, got)
				}
			}
		}
	}
}

// Rows that a layer reads by, and columns that a layer writes, turn the same way.
func TestRowsAndColumnsTurn(t *testing.T) {
	const n, rows = 12, 5
	r := newRotation(n, rand.NewPCG(5, 0))
	w, u := &matrix{rows, n + 3, make([]float32, rows*(n+3))}, &matrix{n + 3, rows, make([]float32, rows*(n+3))}
	for i := range rows {
		for j := range n + 3 {
			w.v[i*(n+3)+j] = float32(i*j%7) - 3
			u.v[j*rows+i] = w.v[i*(n+3)+j]
		}
	}
	first := w.row(1)[1]
	r.rows(w, 2)
	r.columns(u, 2)
	for i := range rows {
		for j := range n + 3 {
			if w.v[i*(n+3)+j] != u.v[j*rows+i] {
				t.Fatalf("row %d, column %d: %v and %v", i, j, w.v[i*(n+3)+j], u.v[j*rows+i])
			}
		}
	}
	if w.row(1)[1] != first || w.row(1)[2] == -1 {
		t.Errorf("turned row: %v", w.row(1))
	}
}

func TestRotationSeeds(t *testing.T) {
	signs := func(seed uint64) []float64 { return newRotation(64, rand.NewPCG(seed, 0)).signs }
	if !slices.Equal(signs(1), signs(1)) || slices.Equal(signs(1), signs(2)) {
		t.Error("signs do not follow from the seed alone")
	}
}
