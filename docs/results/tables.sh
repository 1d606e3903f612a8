#!/bin/sh
# The tables of docs/results/README.md: runs of llmqat-train, one after another or JOBS at a time, and what became of them.
#
#   docs/results/tables.sh data                  draw and cut the text that all runs use
#   docs/results/tables.sh settings              bits, and what each does untrained
#   docs/results/tables.sh options               what each option brings
#   docs/results/tables.sh ablations             the paper's
#   docs/results/tables.sh report RUN-PREFIX     the table of those that have ended
#
#   TEACHER  float model (default: stories260K, which the project has)
#   TEXT     real text of the teacher's kind; WIKI another kind of text
#   OUT      folder for all of it (default: results)
#   JOBS     runs at a time, each on one thread (default: 2)
# What is there stays: stopped at any moment, the same command goes on.
set -eu
cd "$(dirname "$0")/../.."
export TEACHER="${TEACHER:-cmd/llmqat-serve/demo/stories260K-float.qat}" OUT="${OUT:-results}"
export BIN="${BIN:-bin}"
train=$BIN/llmqat-train

data() { # NAME FLAGS...
	name=$1
	shift
	"$train" generate --model "$TEACHER" --out "$OUT/$name" --cache "$OUT" --max-tokens 256 "$@"
}

# queue prints a line a run, which xargs makes one: NAME FLAGS...
settings() {
	for bits in 4-8-4 4-8-8 4-6-16 4-8-16 4-16-16 8-8-4 8-8-8 8-8-16 4-4-4 4-4-16; do
		echo "settings-$bits --bits $bits --start clip --steps 300 --lr 2e-3"
		echo "settings-$bits-smoothquant --bits $bits --start smoothquant+clip --steps 300 --lr 2e-3"
	done
}

options() {
	plain="--lr 3e-3 --steps 200"
	echo "options-plain --no-lsq $plain"
	echo "options-lsq $plain"
	for start in clip clip+gptq clip+act-order smoothquant smooth-attention hadamard awq qoq; do
		echo "options-lsq+$start $plain --start $start"
	done
	echo "options-lsq+clip+gate $plain --start clip --gate 2"
	echo "options-lsq+clip+maps $plain --start clip --attention-loss 0.3 --hidden-loss 0.3"
	for rate in 0.03 0.3; do echo "options-lsq+clip+rate$rate $plain --start clip --steps-rate $rate"; done
	for lr in 1e-3 5e-3; do echo "options-lsq+clip+lr$lr $plain --start clip --lr $lr"; done
	echo "options-lsq+clip+warmup $plain --start clip --warmup 20"
	echo "options-lsq+clip+bos $plain --start clip --data $OUT/bos"
	for scheme in token head; do echo "options-lsq+clip+$scheme $plain --start clip --kv-scheme $scheme"; done
}

ablations() {
	paper="--kv-scheme token --no-lsq --steps 200 --lr 1e-3"
	for seed in 1 2 3; do
		p="$paper --seed $seed"
		echo "ablations-generated-$seed $p"
		echo "ablations-drawn-$seed $p --data $OUT/drawn"
		[ -z "${TEXT:-}" ] || echo "ablations-text-$seed $p --data $OUT/text"
		[ -z "${WIKI:-}" ] || echo "ablations-wiki-$seed $p --data $OUT/wiki"
		echo "ablations-labels-$seed $p --soft 0"
		echo "ablations-attention-$seed $p --attention-loss 1"
		echo "ablations-hidden-$seed $p --hidden-loss 1"
		echo "ablations-clip-$seed $p --start clip"
	done
}

case ${1:-} in
data)
	data hybrid --samples 6000
	data drawn --samples 2500 --greedy 0
	data bos --samples 6000 --from-bos --greedy 0 --top-k 0
	data held --samples 64 --from-bos --greedy 0 --top-k 0 --seed 1000003
	[ -z "${TEXT:-}" ] || data text --text "$TEXT"
	[ -z "${WIKI:-}" ] || data wiki --text "$WIKI"
	;;
settings | options | ablations)
	mkdir -p "$OUT/runs" "$OUT/logs"
	# $-signs are for the inner shell. Of two --data both would be taken.
	# shellcheck disable=SC2016
	"$1" | xargs -P "${JOBS:-2}" -L 1 sh -c '
		run=$OUT/runs/$0
		[ -e "$run/result.json" ] && exit
		resume=
		[ -e "$run/config.json" ] && resume=--resume
		case " $* " in *" --data "*) ;; *) set -- "$@" --data "$OUT/hybrid" ;; esac
		"$BIN/llmqat-train" qat --teacher "$TEACHER" --held "$OUT/held" --out "$run" $resume --length 256 --lm-head-bits 16 \
			--threads 1 --eval-every 0 --save-every 0 "$@" > "$OUT/logs/$0.log" 2>&1 || { echo "$0: $(tail -1 "$OUT/logs/$0.log")"; exit 255; }
		echo "$0"'
	;;
report)
	prefix=$OUT/runs/${2-}
	set --
	for result in "$prefix"*/result.json; do # which runs have that have ended
		set -- "$@" "${result%/result.json}"
	done
	"$train" report "$@"
	;;
*)
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac
