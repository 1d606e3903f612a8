//go:build !purego

package cpu

// prefetchNEON is attentionKernels.prefetch.
//
//go:noescape
func prefetchNEON(b []byte)
