//go:build !purego

package cpu

//go:noescape
func dotsW4x1DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW4x2DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW4x3DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW4x4DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW8x1DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW8x2DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW8x3DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW8x4DOT(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
