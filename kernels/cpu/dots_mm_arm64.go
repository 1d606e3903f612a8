//go:build !purego

package cpu

//go:noescape
func dotsW4x4MMRows4(sum []int32, w []uint8, x []int8, k int, rows int, stride int)

//go:noescape
func dotsW8x4MMRows4(sum []int32, w []uint8, x []int8, k int, rows int, stride int)
