//go:build !purego

package cpu

func init() {
	available = append(available, isa{"neon", intNEON, floatNEON, rowNEON, attentionNEON})
}
