//go:build !purego

package cpu

var floatNEON = floatGeneric

func init() {
	available = append(available, isa{"neon", intNEON, floatNEON, rowNEON, attentionNEON})
}
