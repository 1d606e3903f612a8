#!/bin/sh
# LLM-QAT's table: a float LLaMA and its students of eight settings on eight zero-shot tasks, by two protocols.
# Every step goes on where it was stopped, and refuses what earlier settings made. docs/recipes/README.md tells more.
#
#   docs/recipes/llama.sh plan     memory and hours of every step, for SHAPES: needs neither weights nor GPU
#   docs/recipes/llama.sh data     texts that the teacher makes up
#   docs/recipes/llama.sh train    a student of each of SETTINGS
#   docs/recipes/llama.sh tasks    the tasks, of the teacher and of all students that are done
#   docs/recipes/llama.sh table    all of it as Markdown
#
#   TEACHER      float model: Hugging Face directory, GGUF or .qat file
#   TASKS        folder of the tasks' files; LIMIT: the first items of each only (default: all)
#   OUT          folder for all that is made (default: recipe)
#   SETTINGS     W-A-KV (default: the repository's eight)
#   SAMPLES      texts to draw (default: 96000), of MAX_TOKENS (2048); SHARD: I/N, the part this machine draws (0/1)
#   STEPS        of training, a setting (default: 12000, which see 96,000 texts once)
#   JOBS         settings trained at a time (default: 1), by THREADS each (0: all)
#   DEVICE       of data and tasks: auto, cpu, cuda (default: auto); BATCH: texts drawn together (64)
#   DATA_FLAGS   more flags of llmqat-train generate (default: the paper's hybrid sampling, which is generate's own)
#   FLAGS        more flags of llmqat-train qat (default: the paper's, in passes of one window)
#   PUBLISHED    averages to stand beside, as float=66.2,4-8-4=62.0 (default: none; llama-7b: the repository's; llama-30b: the paper's)
#   BIN          folder of the commands (default: bin, where make build puts them)
#   SHAPES       of plan (default: llama-7b llama-13b llama-30b); TOKENIZER: LLaMA's tokenizer.model, to count the tasks' tokens with;
#                SPEED: another machine than this one, as llmqat-train qat --speed has it
set -eu
cd "$(dirname "$0")/../.."
OUT=${OUT:-recipe} BIN=${BIN:-bin}
SETTINGS=${SETTINGS:-4-8-4 4-8-8 4-6-16 4-8-16 4-16-16 8-8-4 8-8-8 8-8-16}
SAMPLES=${SAMPLES:-96000} MAX_TOKENS=${MAX_TOKENS:-2048} STEPS=${STEPS:-12000}
BATCH=${BATCH:-64} THREADS=${THREADS:-0} DEVICE=${DEVICE:-auto}
FLAGS=${FLAGS:---lr 2e-5 --batch 8 --pass 1 --recompute --lm-head-bits 16 --eval-every 1000}
DATA_FLAGS=${DATA_FLAGS:-}
train=$BIN/llmqat-train
float=$OUT/float.qat # the teacher as all steps read it
trained="STEPS=$STEPS
FLAGS=$FLAGS"
export OUT BIN STEPS THREADS FLAGS float trained

need() { # need NAME VALUE WHAT
	[ -n "$2" ] && return
	echo "$0: $1: name $3" >&2
	exit 2
}

# made RESULT SETTINGS REMEDY says whether a result is there. RESULT.settings has the settings that it was made with, a line each:
# others end all. Where that file is missing the result is taken for one of these settings.
made() {
	if ! [ -e "$1.settings" ]; then
		[ -e "$1" ] || return
		echo "$2" > "$1.settings"
	fi
	if [ "$(cat "$1.settings")" != "$2" ]; then
		echo "$0: $1 was made with other settings: $(other "$1.settings" "$2"), now $(echo "$2" | other - "$(cat "$1.settings")"): $3" >&2
		exit 1
	fi
	[ -e "$1" ]
}

# other FILE LINES prints, in one line, those of a file that are none of LINES.
other() { grep -vxF -e "$2" -- "$1" | paste -sd , -; }

# teacher makes one file of the teacher, of its own floats.
teacher() {
	[ -e "$float" ] && [ -z "${TEACHER:-}" ] && return
	need TEACHER "${TEACHER:-}" "the float model, a Hugging Face directory"
	made "$float" "TEACHER=${TEACHER%/}" "name another OUT, since all that is in this one comes of that model" && return
	mkdir -p "$OUT"
	"$BIN/llmqat" quantize --model "$TEACHER" --bits 16-16-16 --out "$float"
	echo "TEACHER=${TEACHER%/}" > "$float.settings"
}

draw() { # draw NAME FLAGS...
	name=$1
	shift
	"$train" generate --model "$float" --out "$OUT/$name" --max-tokens "$MAX_TOKENS" --batch "$BATCH" --threads "$THREADS" --device "$DEVICE" "$@"
}

# ask NAME MODEL has the tasks' results in runs/NAME/tasks.json. A file of items remembers what was asked.
ask() {
	asked="TASKS=${TASKS%/}
LIMIT=${LIMIT:-}"
	made "$OUT/runs/$1/tasks.json" "$asked" "name another OUT, or remove $OUT/runs/*/tasks.json* and $OUT/runs/*/items.jsonl" && return
	mkdir -p "$OUT/runs/$1"
	echo "$1" >&2
	"$BIN/llmqat" eval --model "$2" --tasks all --task-data "$TASKS" ${LIMIT:+--limit "$LIMIT"} --items "$OUT/runs/$1/items.jsonl" \
		--threads "$THREADS" --device "$DEVICE" --json > "$OUT/runs/$1/tasks.part"
	echo "$asked" > "$OUT/runs/$1/tasks.json.settings"
	mv "$OUT/runs/$1/tasks.part" "$OUT/runs/$1/tasks.json"
}

# plan prints a table, from the last lines of dry runs, and then these.
plan() {
	speed=${SPEED:+--speed $SPEED}
	# FLAGS, DATA_FLAGS and speed are several words.
	# shellcheck disable=SC2086
	for shape in ${SHAPES:-llama-7b llama-13b llama-30b}; do
		echo "## $shape, data"
		"$train" generate --dry-run --shape "$shape" --samples "$SAMPLES" --max-tokens "$MAX_TOKENS" --batch "$BATCH" --threads "$THREADS" --device "$DEVICE" $speed $DATA_FLAGS
		echo "## $shape, training of one setting"
		"$train" qat --dry-run --shape "$shape" --steps "$STEPS" --threads "$THREADS" $speed $FLAGS
		[ -n "${TASKS:+${TOKENIZER:-}}" ] || continue
		for bits in 16-16-16 4-8-4; do
			echo "## $shape, tasks at $bits"
			"$BIN/llmqat" eval --dry-run --shape "$shape" --bits $bits --tokenizer "$TOKENIZER" --tasks all --task-data "$TASKS" ${LIMIT:+--limit "$LIMIT"} \
				--threads "$THREADS" --device "$DEVICE" $speed
		done
	done > "$OUT/plan.part"
	awk -v settings="$(echo "$SETTINGS" | wc -w)" '
		/^## / { split(substr($0, 4), part, ", "); shape = part[1]; step = part[2]; next }
		/^in all: / {
			sub("in all: ", ""); sub(" of memory, ", "|"); sub(" hours", ""); split($0, is, "|")
			if (!(shape in shapes)) { shapes[shape]; order[++m] = shape }
			if (!(step in steps)) { steps[step]; list[++n] = step }
			memory[step, shape] = is[1]; hours[step, shape] = is[2]
		}
		END {
			printf "|"; for (i = 1; i <= m; i++) printf " | %s: memory | hours", order[i]; print " |"
			printf "| ---"; for (i = 1; i <= m; i++) printf " | --- | ---"; print " |"
			for (j = 1; j <= n; j++) {
				printf "| %s", list[j]; for (i = 1; i <= m; i++) printf " | %s | %.3g", memory[list[j], order[i]], hours[list[j], order[i]]; print " |"
				if (list[j] ~ /^training/) { printf "| of all %d", settings; for (i = 1; i <= m; i++) printf " | | %.3g", settings * hours[list[j], order[i]]; print " |" }
			}
		}' "$OUT/plan.part"
	echo
	cat "$OUT/plan.part"
	rm "$OUT/plan.part"
}

case ${1:-} in
plan)
	mkdir -p "$OUT"
	plan
	;;
data)
	teacher
	# shellcheck disable=SC2086
	draw data --samples "$SAMPLES" --shard "${SHARD:-0/1}" $DATA_FLAGS
	draw held --samples 64 --from-bos --greedy 0 --top-k 0 --seed 1000003
	;;
train)
	teacher
	mkdir -p "$OUT/runs" "$OUT/logs"
	set --
	for bits in $SETTINGS; do
		made "$OUT/runs/$bits/result.json" "$trained" "name another OUT, or remove $OUT/runs/$bits" || set -- "$@" "$bits"
	done
	# $-signs are for the inner shell.
	# shellcheck disable=SC2016
	echo "$@" | xargs -r -P "${JOBS:-1}" -n 1 sh -c '
		run=$OUT/runs/$0
		resume=
		[ -e "$run/config.json" ] && resume=--resume
		"$BIN/llmqat-train" qat --teacher "$float" --data "$OUT/data" --held "$OUT/held" --out "$run" $resume --bits "$0" \
			--steps "$STEPS" --threads "$THREADS" $FLAGS > "$OUT/logs/$0.log" 2>&1 || { echo "$0: $(tail -1 "$OUT/logs/$0.log")"; exit 255; }
		echo "$trained" > "$run/result.json.settings"
		echo "$0 is trained"'
	;;
tasks)
	need TASKS "${TASKS:-}" "the folder of the tasks' files"
	teacher
	ask float "$float"
	for bits in $SETTINGS; do
		[ ! -e "$OUT/runs/$bits/result.json" ] || ask "$bits" "$OUT/runs/$bits/student.qat"
	done
	;;
table)
	[ "${PUBLISHED:-}" != llama-30b ] || PUBLISHED=float=71.4,4-8-4=69.9
	[ "${PUBLISHED:-}" != llama-7b ] || PUBLISHED=float=66.2,4-8-4=62.0,4-8-8=63.6,4-6-16=61.1,4-8-16=63.6,4-16-16=64.0,8-8-4=63.9,8-8-8=65.6,8-8-16=65.9
	set --
	for name in float $SETTINGS; do
		[ ! -e "$OUT/runs/$name/tasks.json" ] || set -- "$@" "$OUT/runs/$name"
	done
	[ $# -gt 0 ] || { echo "$0: no results in $OUT/runs: $0 tasks makes them" >&2; exit 1; }
	"$train" report --tasks ${PUBLISHED:+--published "$PUBLISHED"} "$@"
	;;
*)
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac
