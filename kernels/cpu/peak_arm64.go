//go:build !purego

package cpu

//go:noescape
func readNEON(b []byte)

// peakInt8NEON does n times 256 multiply-adds, n >= 1.
func peakInt8NEON(n int)

// peakInt8DOT does n times 256 multiply-adds, n >= 1.
func peakInt8DOT(n int)

// peakInt8MM does n times 512 multiply-adds, n >= 1.
func peakInt8MM(n int)

// peakFMANEON does n times 64 multiply-adds, n >= 1.
func peakFMANEON(n int)
