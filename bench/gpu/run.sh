#!/usr/bin/env bash
# Tests and measures llmqat on this machine's GPU, with what lies beside this script: no
# compiler, no Go, no network. Needs an NVIDIA driver and the C library that glibc.txt names.
#
#   ./run.sh [--quick] [--only PART,...] [--limit SECONDS] [--device cuda:N] [--cache DIR] [OUT]
#
# Every part writes OUT/PART.log, and OUT/NAME.json, .svg and .txt where it measures; it is
# ended after --limit seconds (540). OUT/summary.txt says how each went; the exit code is
# that of a failure where one failed. Random weights are made in --cache, a folder of its
# own below $TMPDIR that is removed at the end: up to 34 GB at a time, since the 7B files
# go before the 13B ones come, unless --cache names one, which is left as it is.
# --quick checks the bundle itself: a few tests and a tiny shape.
#
#   machine    GPU, driver, processor, memory
#   tests      the kernels', the engine's, the server's and the benchmark's tests
#   sanitizer  compute-sanitizer's memcheck and racecheck of the kernels' tests, if it is there
#   demo       the demo model tells the same story on GPU and CPU
#   micro      ceilings, and single operators against them
#   7b         LLaMA-7B, FP16 against 4-8-4: decode at batch 1 and 64, prefill
#   passes     prefill of 4,096 tokens in passes of 512, 2,048 and 4,096
#   generate   120 sequences of 128 tokens in and 2,048 out, through the engine
#   profile    time by kernel of a decode step and a prefill
#   13b        LLaMA-13B as 7b, with a smaller batch
# shellcheck disable=SC2046,SC2086 # what pick chooses are words
set -u
all="machine tests sanitizer demo micro 7b passes generate profile 13b"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
only=${all// /,} part="" cache="" out=""
export QUICK=${QUICK:-} LIMIT=${LIMIT:-540} DEVICE=${DEVICE:-cuda}

while [ $# -gt 0 ]; do
	case $1 in
	--quick) QUICK=yes ;;
	--only | --limit | --device | --cache | --part)
		[ $# -gt 1 ] || { echo "run.sh: $1 wants a value" >&2; exit 2; }
		case $1 in
		--only) only=$2 ;;
		--limit) LIMIT=$2 ;;
		--device) DEVICE=$2 ;;
		--cache) cache=$2 ;;
		--part) part=$2 ;;
		esac
		shift
		;;
	-h | --help) sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \{0,1\}//;p}' "$0"; exit ;;
	-*) echo "run.sh: $1: want --quick, --only, --limit, --device or --cache" >&2; exit 2 ;;
	*) out=$1 ;;
	esac
	shift
done
for p in ${only//,/ }; do
	[[ " $all " == *" $p "* ]] || { echo "run.sh: no part $p: want some of ${all// /, }" >&2; exit 2; }
done

# --- what runs within a part, as a process of its own -----------------------------------

skip=77 # a part's exit code where it cannot run here

quick() { [ -n "$QUICK" ]; }
pick() { if quick; then echo "$1"; else echo "$2"; fi; } # pick QUICK OTHERWISE

measure() { # measure NAME SHAPE ARGUMENTS...
	local name=$1 shape=$2
	shift 2
	"$here/bin/bench" --device "$DEVICE" --cache "$CACHE" --out "$OUT/$name" --shape "$(pick stories260k "$shape")" "$@"
}

story() { # story DEVICE TOKENS
	"$here/bin/llmqat" run --device "$1" --model "$here/cmd/llmqat-serve/demo/stories260K.qat" --max-tokens "$2" "Once upon a time"
}

part_machine() {
	nvidia-smi 2>&1 || echo "no nvidia-smi"
	uname -a
	lscpu 2>/dev/null | head -n 20
	free -g 2>/dev/null
	df -h "$CACHE"
	cat "$here/glibc.txt"
	"$here/bin/bench" --version
}

tests_in() { # tests_in FOLDER ARGUMENTS...
	echo "== $1"
	(cd "$here/$1" && shift && ./package.test -test.v "$@") || failed=1
}

part_tests() {
	local failed=0
	story "$DEVICE" 1 || return # without a GPU tests are skipped, which is no success here
	tests_in kernels/cuda $(pick '-test.short -test.run=TestEngine$|TestPeak|TestTrace|TestGraphs|TestThreads|TestLinearParts' '')
	tests_in runtime/device
	if ! quick; then
		tests_in bench -test.run=GPU
		tests_in cmd/llmqat-serve -test.run=CUDA
	fi
	return $failed
}

part_sanitizer() {
	local tool sanitizer="" s failed=0
	for s in $(command -v compute-sanitizer) /usr/local/cuda*/bin/compute-sanitizer; do
		[ -x "$s" ] && sanitizer=$s && break
	done
	[ -n "$sanitizer" ] || { echo "compute-sanitizer is not installed"; return $skip; }
	for tool in memcheck racecheck; do
		echo "== $tool"
		(cd "$here/kernels/cuda" && timeout $((LIMIT / 2)) "$sanitizer" --tool $tool --error-exitcode 1 --report-api-errors no \
			./package.test -test.v -test.short "-test.run=$(pick 'TestPeak' 'TestOperators/seed=1$|TestLinearParts|TestDraw|TestEngine$')") || failed=1
	done
	return $failed
}

part_demo() {
	local on
	for on in cpu "$DEVICE"; do
		story "$on" "$(pick 20 200)" >"$OUT/demo-${on%%:*}.txt" || return
	done
	cat "$OUT/demo-${DEVICE%%:*}.txt"
	cmp "$OUT/demo-cpu.txt" "$OUT/demo-${DEVICE%%:*}.txt"
}

tiny="--prompt 16 --context 30 --batch 1,2 --decode 2 --repeats 1"

part_micro() {
	measure micro llama-7b --micro $(pick "$tiny" "--compare 16-16-16,8-8-8,4-8-4 --batch 1,8,16,64,256,2048 --pass 2048 --prompt 2048 --context 1024,8192 --repeats 3")
}
part_7b() { measure 7b llama-7b $(pick "$tiny" "--prompt 512,2048 --context 64,1024 --batch 1,64 --repeats 5"); }
part_passes() {
	local pass
	for pass in $(pick 16 "512 2048 4096"); do
		measure "passes-$pass" llama-7b --pass "$pass" $(pick "$tiny" "--prompt 4096 --context 64 --batch 1 --decode 8 --repeats 3") || return
	done
}
part_generate() { measure generate llama-7b --generate "$(pick 3,5,6 120,128,2048)" --repeats 1; }
part_profile() { measure profile llama-7b --profile $(pick "$tiny" "--prompt 512 --context 64,1024 --batch 1,64 --repeats 3"); }
# The largest batch that fits: FP16 takes 26 GB of weights and 0.87 GB a sequence.
part_13b() {
	local batch
	for batch in 64 32 16; do
		measure 13b llama-13b $(pick "$tiny" "--prompt 512 --context 64,1024 --batch 1,$batch --repeats 3") 2>"$OUT/13b.error" && return
		cat "$OUT/13b.error"
		grep -q "of the GPU are free" "$OUT/13b.error" || return
	done
}

if [ -n "$part" ]; then
	"part_$part"
	exit
fi

# --- all parts --------------------------------------------------------------------------

OUT=${out:-results-$(date +%Y%m%d-%H%M%S)}
mkdir -p "$OUT" && OUT=$(cd "$OUT" && pwd) || exit 2
if [ -n "$cache" ]; then
	mkdir -p "$cache" && CACHE=$(cd "$cache" && pwd) || exit 2
else
	CACHE=$(mktemp -d "${TMPDIR:-/tmp}/llmqat-gpu-XXXXXX") || exit 2
	trap 'rm -rf "$CACHE"' EXIT
fi
export OUT CACHE

failures=0
: >"$OUT/summary.txt"
for p in $all; do
	[[ ",$only," == *",$p,"* ]] || continue
	if [ "$p" = 13b ] && [ -z "$cache" ]; then
		rm -f "$CACHE"/llama-7b-*
	fi
	start=$SECONDS
	timeout -k 20 "$LIMIT" "$0" --part "$p" </dev/null >"$OUT/$p.log" 2>&1
	case $? in
	0) how=ok ;;
	"$skip") how=skipped ;;
	124 | 137) how="FAIL: ended after $LIMIT s" failures=$((failures + 1)) ;;
	*) how=FAIL failures=$((failures + 1)) ;;
	esac
	line=$(printf '%-10s %5d s  %s' "$p" $((SECONDS - start)) "$how")
	echo "$line" | tee -a "$OUT/summary.txt"
	[[ $how == FAIL* ]] && tail -n 40 "$OUT/$p.log"
done
for t in 7b passes-512 passes-2048 passes-4096 generate 13b; do
	[ -f "$OUT/$t.txt" ] && { echo; cat "$OUT/$t.txt"; }
done
echo
cat "$OUT/summary.txt"
echo "results in $OUT"
[ "$failures" -eq 0 ]
