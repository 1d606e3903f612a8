//go:build !purego

package cpu

//go:noescape
func dotsW4x4MM(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)

//go:noescape
func dotsW8x4MM(sum []int32, w []uint8, x []int8, k int, rows int, stride int, ahead int, step int, depth int)
