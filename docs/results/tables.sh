#!/bin/sh
# The tables of docs/results/README.md: runs of llmqat-train, one after another or JOBS at a time, and what became of them.
#
#   docs/results/tables.sh data                  draw and cut the text that all runs use
#   docs/results/tables.sh settings              bits, and what each does untrained
#   docs/results/tables.sh options               what each option brings
#   docs/results/tables.sh ablations             the paper's
#   docs/results/tables.sh report RUN-PREFIX     the table of those that have ended
#   docs/results/tables.sh opponents-data        the same three for "Against training-free methods": data and students
#   docs/results/tables.sh students              of two models, and what llmqat quantize makes of these,
#   docs/results/tables.sh opponents             quantized with seed after seed and evaluated: on held-out text, the first on 64 KB of TEXT
#   docs/results/tables.sh opponents-whole       every seed on all of TEXT
#   docs/results/tables.sh report-opponents      the tables of what of all this is there
#
#   TEACHER  float model (default: stories260K, which the project has)
#   TEXT     real text of the teacher's kind; WIKI another kind of text
#   OUT      folder for all of it (default: results)
#   JOBS     runs at a time, each on one thread (default: 2)
#   MODELS   folder of stories260K/ and stories3M/, which opponents have for TEACHER (default: $LLMQAT_TESTDATA/hf)
#   SEEDS, SETTINGS, SIZES, METHODS   which of the opponents' seeds, settings, models and methods to run (default: all)
# What is there stays: stopped at any moment, the same command goes on.
set -eu
cd "$(dirname "$0")/../.."
export TEACHER="${TEACHER:-cmd/llmqat-serve/demo/stories260K-float.qat}" OUT="${OUT:-results}"
export BIN="${BIN:-bin}"
train=$BIN/llmqat-train

MODELS="${MODELS:-${LLMQAT_TESTDATA:-}/hf}"
export MODELS
SIZES="${SIZES:-stories260K stories3M}" SETTINGS="${SETTINGS:-4-8-4 8-8-4 4-8-8 4-4-4}" SEEDS="${SEEDS:-1 2 3}"
METHODS="${METHODS:-qat rtn clip smoothquant clip+act-order awq hadamard smooth-attention qoq awq+act-order smooth-attention+clip+act-order hadamard+smooth-attention hadamard+clip+act-order qoq+act-order}"

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

students() {
	for seed in $SEEDS; do for model in $SIZES; do for bits in $SETTINGS; do
		losses="--attention-loss 0.3 --hidden-loss 0.3"
		case $model-$bits in
		stories260K-*) flags="--start clip --steps 600 --lr 2e-3 $losses" ;;
		*-8-8-4) flags="--start hadamard+smooth-attention --steps 400 --lr 2e-5" ;; # such losses do not go with rotations
		*) flags="--start clip+gptq --steps 400 --lr 1e-4 $losses" ;;
		esac
		echo "$model-$bits-qat-$seed --teacher $MODELS/$model --data $OUT/$model/data --held $OUT/$model/held --bits $bits $flags --warmup 20 --seed $seed"
	done; done; done
}

# opponents prints MODEL BITS METHOD SEED [FLAG...], a line each. rtn and clip have no seed.
opponents() {
	for seed in $SEEDS; do for bits in $SETTINGS; do for model in $SIZES; do
		for method in $METHODS; do
			case $method-$seed in rtn-[!1] | clip-[!1]) continue ;; esac
			echo "$model $bits $method $seed"
		done
	done; done; done
	case $SETTINGS in *4-8-4*) for model in $SIZES; do for method in rtn clip+act-order awq qoq; do
		echo "$model 4-8-4 $method-token 1 --kv-scheme token"
	done; done ;; esac
}

# oppose held|text|whole MODEL BITS METHOD SEED [FLAG...] makes an opponent, or takes a student that is there, and evaluates it: on
# held-out text, the first 64 KB of TEXT or all of it.
oppose() {
	on=$1 model=$2 bits=$3 method=$4 seed=$5 name=$OUT/opponents/$2.$3.$4.$5
	shift 5
	[ -e "$name.$on.json" ] && return
	file=$name.qat
	if [ "$method" = qat ]; then
		file=$OUT/runs/$model-$bits-qat-$seed/student.qat # of held-out text its run has result.json
		[ "$on" != held ] && [ -e "$OUT/runs/$model-$bits-qat-$seed/result.json" ] || return 0
	elif ! [ -e "$file" ]; then
		case ${method%-token} in rtn | clip | hadamard) ;; *) set -- --calibrate "$OUT/$model/data" --calibration-length 256 "$@" ;; esac
		"$BIN/llmqat" quantize --threads 1 --model "$MODELS/$model" --bits "$bits" --lm-head-bits 16 --method "${method%-token}" \
			--seed "$seed" "$@" --out "$file" 2> "$name.log"
	fi
	case $on in
	held) set -- --data "$OUT/$model/held" ;;
	text) set -- --text "$OUT/opponents/text.txt" ;;
	whole) set -- --text "$TEXT" ;;
	esac
	"$BIN/llmqat" eval --threads 1 --model "$file" --teacher "$MODELS/$model" "$@" --length 256 --json > "$name.tmp" 2>> "$name.log"
	mv "$name.tmp" "$name.$on.json"
	echo "$on: $model $bits $method $seed"
}

# oppose_all held|text|whole
oppose_all() {
	mkdir -p "$OUT/opponents"
	opponents | while read -r line; do
		# shellcheck disable=SC2086
		oppose "$1" $line < /dev/null
	done
}

case ${1:-} in
opponents-data)
	for model in $SIZES; do
		TEACHER=$MODELS/$model
		samples=6000
		[ "$model" = stories260K ] || samples=4000
		data "$model/data" --samples $samples --from-bos --greedy 0 --top-k 0
		data "$model/held" --samples 64 --from-bos --greedy 0 --top-k 0 --seed 1000003
	done
	;;
opponents)
	oppose_all held
	SEEDS=1
	head -c 65536 "${TEXT:-$LLMQAT_TESTDATA/text/tinystories.txt}" > "$OUT/opponents/text.txt"
	oppose_all text
	;;
opponents-whole)
	TEXT="${TEXT:-$LLMQAT_TESTDATA/text/tinystories.txt}"
	oppose_all whole
	;;
report-opponents)
	python3 docs/results/opponents.py collect "$OUT" > "$OUT/opponents.json"
	python3 docs/results/opponents.py tables "$OUT/opponents.json"
	;;
data)
	data hybrid --samples 6000
	data drawn --samples 2500 --greedy 0
	data bos --samples 6000 --from-bos --greedy 0 --top-k 0
	data held --samples 64 --from-bos --greedy 0 --top-k 0 --seed 1000003
	[ -z "${TEXT:-}" ] || data text --text "$TEXT"
	[ -z "${WIKI:-}" ] || data wiki --text "$WIKI"
	;;
settings | options | ablations | students)
	mkdir -p "$OUT/runs" "$OUT/logs"
	# $-signs are for the inner shell. Of two --data both would be taken.
	# shellcheck disable=SC2016
	"$1" | xargs -P "${JOBS:-2}" -L 1 sh -c '
		run=$OUT/runs/$0
		[ -e "$run/result.json" ] && exit
		resume=
		[ -e "$run/config.json" ] && resume=--resume
		case " $* " in *" --data "*) ;; *) set -- "$@" --data "$OUT/hybrid" ;; esac
		case " $* " in *" --teacher "*) ;; *) set -- "$@" --teacher "$TEACHER" --held "$OUT/held" ;; esac
		"$BIN/llmqat-train" qat --out "$run" $resume --length 256 --lm-head-bits 16 \
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
