#!/bin/sh
# The report on the small models: what 4 bits cost and gain, on one page.
#
#   OUT              folder for all of it (default: report)
#   BIN              folder of the commands (default: bin)
#   LLMQAT_TESTDATA  folder of real models and texts: adds TinyStories text, and stories3M with a student trained for it.
#                    Without it: stories260K, which the project has, on text that the model makes up itself.
#   STUDENTS         further students of stories260K, "a.qat,b.qat"
#   STUDENTS_3M      students of stories3M, instead of the one that is trained here for STEPS_3M steps (default: 400)
#   SAMPLES          texts that stories3M draws to be trained on (default: 2000)
#   WINDOWS          windows of 512 tokens, the models' whole context, of each text at most (default: 150); 0: all
#   LIMIT            items of each of the eight zero-shot tasks (default: 50), which are in LLMQAT_TESTDATA; 0: all
#   FLAGS            more of bench report's, as "--repeats 9"
#   README           Markdown file to write a table of each into
# What is there stays: stopped at any moment, the same command goes on.
set -eu
cd "$(dirname "$0")/../.."
OUT=${OUT:-report} BIN=${BIN:-bin} STEPS_3M=${STEPS_3M:-400} SAMPLES=${SAMPLES:-2000} WINDOWS=${WINDOWS:-150} LIMIT=${LIMIT:-50}
demo=cmd/llmqat-serve/demo text=${LLMQAT_TESTDATA:+$LLMQAT_TESTDATA/text/tinystories.txt}

say() { printf '\n== %s (%s)\n' "$1" "$(date +%H:%M:%S)"; }

draw() { # draw TEACHER FOLDER FLAGS...: text of the teacher's own, from BOS
	teacher=$1 folder=$2
	shift 2
	"$BIN"/llmqat-train generate --model "$teacher" --out "$folder" --from-bos --greedy 0 --top-k 0 --max-tokens 512 "$@"
}

# FLAGS are several words.
# shellcheck disable=SC2086
report() { # report TEACHER NAME STUDENTS
	"$BIN"/bench report --teacher "$1" --title "$2" --models "$3" --lm-head-bits 16 --length 512 --windows "$WINDOWS" ${text:+--text "$text"} --held "$OUT/$2/held" \
		${text:+--tasks all --task-data "$LLMQAT_TESTDATA/eval" --limit "$LIMIT"} --out "$OUT/$2" ${FLAGS:-}
}

say "stories260K: text of its own to evaluate on"
draw $demo/stories260K-float.qat "$OUT/stories260K/held" --samples 64 --seed 1000003
say "stories260K: report"
report $demo/stories260K-float.qat stories260K "$demo/stories260K.qat${STUDENTS:+,$STUDENTS}"
sets=$OUT/stories260K

if [ -n "$text" ]; then
	teacher=$LLMQAT_TESTDATA/hf/stories3M dir=$OUT/stories3M
	say "stories3M: text of its own to evaluate on"
	draw "$teacher" "$dir/held" --samples 64 --seed 1000003
	if [ -z "${STUDENTS_3M:-}" ]; then
		say "stories3M: text to train on"
		draw "$teacher" "$dir/data" --samples "$SAMPLES" --seed 2
		say "stories3M: training"
		resume=
		[ -e "$dir/run/config.json" ] && resume=--resume
		[ -e "$dir/run/result.json" ] ||
			"$BIN"/llmqat-train qat --teacher "$teacher" --data "$dir/data" --held "$dir/held" --out "$dir/run" $resume --bits 4-8-4 --steps "$STEPS_3M" --length 512 \
				--lm-head-bits 16 --start clip+gptq --lr 1e-4 --warmup 20 --attention-loss 0.3 --hidden-loss 0.3 --eval-every 0
		STUDENTS_3M=$dir/run/student.qat
	fi
	say "stories3M: report"
	report "$teacher" stories3M "$STUDENTS_3M"
	sets=$sets,$dir
fi

say "the page"
"$BIN"/bench report --from "$sets" --out "$OUT" ${README:+--readme "$README"}
