//go:build !purego

package cpu

// Each sets dst to n weights of src as float32, a multiple of 64: eight, and the
// next eight stride elements on.

//go:noescape
func widenInt4NEON(dst []float32, stride int, src []byte, n int)

//go:noescape
func widenInt8NEON(dst []float32, stride int, src []byte, n int)

//go:noescape
func widenFloat16NEON(dst []float32, stride int, src []byte, n int)

//go:noescape
func widenBFloat16NEON(dst []float32, stride int, src []byte, n int)

//go:noescape
func widenFloat32NEON(dst []float32, stride int, src []byte, n int)
