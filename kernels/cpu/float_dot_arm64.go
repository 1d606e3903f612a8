//go:build !purego

package cpu

// Each returns fp.Dot of w, len(x) weights, and x, a multiple of 64 inputs.

//go:noescape
func dotInt4NEON(w []byte, x []float32) float32

//go:noescape
func dotInt8NEON(w []byte, x []float32) float32

//go:noescape
func dotFloat16NEON(w []byte, x []float32) float32

//go:noescape
func dotBFloat16NEON(w []byte, x []float32) float32

//go:noescape
func dotFloat32NEON(w []byte, x []float32) float32
