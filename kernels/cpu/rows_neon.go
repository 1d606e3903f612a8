//go:build arm64 && !purego

package cpu

var (
	rowNEON       = rowGeneric
	attentionNEON = attentionGeneric
)
