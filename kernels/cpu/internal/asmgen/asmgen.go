// Package asmgen writes kernels/cpu's amd64 assembly with avo. Its test fails
// when a committed .s file is not what it writes; with -generate it writes them.
package asmgen

import "github.com/mmcloughlin/avo/build"

// units are the generated files by base name: kernels/cpu/NAME_amd64.{s,go}.
var units = map[string]func(*build.Context){}
