//go:build !purego

package cpu

//go:noescape
func dotsW4x1NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW4x2NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW4x3NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW4x4NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW8x1NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW8x2NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW8x3NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW8x4NEON(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
