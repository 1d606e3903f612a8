// Package asmgen writes kernels/cpu's amd64 assembly with avo. Its test fails
// when a committed .s file is not what it writes; with -generate it writes them.
package asmgen

import "github.com/mmcloughlin/avo/build"

// units are the generated files by base name: kernels/cpu/NAME_amd64.{s,go}.
var units = map[string]func(*build.Context){
	"dots_w4": dotsW4,
	"dots_w8": dotsW8,

	"dots_w4_avxvnni": dotsW4AVXVNNI,
	"dots_w8_avxvnni": dotsW8AVXVNNI,

	"float_dot":       floatDot,
	"float_widen":     floatWiden,
	"float_tile":      floatTile,
	"float_tile512":   floatTile512,
	"float_sums":      floatSums,
	"float_sums512":   floatSums512,
	"float_stream512": floatStream512,
	"matmul_tile":     matmul,
	"train":           train,
	"peak":            peak,
	"scale":           scale,

	"quantize":     quantize,
	"rmsnorm":      rmsnorm,
	"swiglu":       swiglu,
	"rope":         rope,
	"sample":       sample,
	"append_kv":    appendKV,
	"unpack_kv":    unpackKV,
	"prefetch":     prefetch,
	"turn_keys":    turnKeysAVX2,
	"scores_int":   scoresInt,
	"scores_float": scoresFloat,
	"softmax":      softmax,
	"rescale":      rescale,
	"add_values":   addValues,
	"add_ints":     addInts,

	"add_ints_avxvnni":   addIntsAVXVNNI,
	"scores_int_avxvnni": scoresAVXVNNI,

	"turn_keys512":  turnKeys,
	"scores_int512": scoresInt512,
	"softmax512":    softmax512,
	"swiglu512":     swiglu512,
	"weigh512":      weigh512,
	"add_ints512":   addInts512,
}
