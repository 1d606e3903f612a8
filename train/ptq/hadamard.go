package ptq

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// rotation is an orthogonal matrix R = D·(H ⊗ Q), [n, n] with n = 2ᵏ·m and m odd: D are
// random signs, H is Sylvester's Hadamard matrix of order 2ᵏ, Q the discrete Hartley
// transform of order m, Q[i,j] = (cos a + sin a)/√m with a = 2πij/m. All are orthogonal,
// H and Q symmetric, and no element of R exceeds √(2/n): an outlier is spread over all
// channels (QuIP, arXiv:2307.13304).
type rotation struct {
	signs []float64 // [n]
	small []float64 // Q [m, m]
	norm  float64   // of H: 1/√2ᵏ
}

func newRotation(n int, seed *rand.PCG) *rotation {
	m := n >> bits.TrailingZeros(uint(n))
	r := &rotation{make([]float64, n), make([]float64, m*m), 1 / math.Sqrt(float64(n/m))}
	for i := range r.signs {
		r.signs[i] = 1 - 2*float64(seed.Uint64()&1)
	}
	for i := range m {
		for j := range m {
			sin, cos := math.Sincos(2 * math.Pi * float64(i*j%m) / float64(m))
			r.small[i*m+j] = (cos + sin) / math.Sqrt(float64(m))
		}
	}
	return r
}

// turn sets v [n], a row vector, to v·R.
func (r *rotation) turn(v []float64) {
	m := int(math.Sqrt(float64(len(r.small))))
	t := make([]float64, m)
	for i := 0; i < len(v); i += m {
		part := v[i : i+m]
		for j := range part {
			part[j] *= r.signs[i+j] * r.norm
		}
		if m == 1 {
			continue
		}
		for j := range t {
			t[j] = dot(part, r.small[j*m:][:m])
		}
		copy(part, t)
	}
	for h := m; h < len(v); h *= 2 { // butterflies
		for i := 0; i < len(v); i += 2 * h {
			for j := i; j < i+h; j++ {
				v[j], v[j+h] = v[j]+v[j+h], v[j]-v[j+h]
			}
		}
	}
}

// rows turns segment [at, at+n) of each of w's rows: what a layer that reads turned
// channels multiplies by.
func (r *rotation) rows(w *matrix, at int) {
	n := len(r.signs)
	parallel(w.rows, rowsPer(w.cols), func(from, to int) {
		v := make([]float64, n)
		for i := from; i < to; i++ {
			row := w.row(i)[at : at+n]
			for j, x := range row {
				v[j] = float64(x)
			}
			r.turn(v)
			for j, x := range v {
				row[j] = float32(x)
			}
		}
	})
}

// columns turns rows [at, at+n) of each of w's columns: what a layer writes is turned.
func (r *rotation) columns(w *matrix, at int) {
	n := len(r.signs)
	parallel(w.cols, rowsPer(n), func(from, to int) {
		v := make([]float64, n)
		for j := from; j < to; j++ {
			for i := range v {
				v[i] = float64(w.v[(at+i)*w.cols+j])
			}
			r.turn(v)
			for i, x := range v {
				w.v[(at+i)*w.cols+j] = float32(x)
			}
		}
	})
}
