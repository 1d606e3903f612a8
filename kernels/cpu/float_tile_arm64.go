//go:build !purego

package cpu

// Each adds the blocks' lanes of panel [n/8, 4, 8] times 2 or 3 rows of x, stride
// elements apart, to total [tokens, 4, 8]. n is a multiple of 64.

//go:noescape
func floatTile2NEON(total, panel, x *float32, stride, n int)

//go:noescape
func floatTile3NEON(total, panel, x *float32, stride, n int)
