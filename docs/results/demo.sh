#!/bin/sh
# From a float model to a served 4-8-4 one: data, training, file, an answer over HTTP. `make demo-qat` runs it.
#
#   TEACHER  float model (default: stories260K, which the project has)
#   OUT      folder for all of it (default: demo-qat)
#   SAMPLES  texts to draw, of LENGTH tokens at most (default: 512, stories260K's whole context), STEPS to train
#   BIN      folder of the commands (default: bin, where make build puts them)
#   FLAGS    more flags of llmqat-train qat (default: what docs/results/README.md found the best)
set -eu
cd "$(dirname "$0")/../.."
TEACHER=${TEACHER:-cmd/llmqat-serve/demo/stories260K-float.qat}
OUT=${OUT:-demo-qat}
FLAGS=${FLAGS:---start clip --attention-loss 0.3 --hidden-loss 0.3 --lr 0.0021213271461705775}
SAMPLES=${SAMPLES:-4000}
LENGTH=${LENGTH:-512}
STEPS=${STEPS:-3000}
bin=${BIN:-bin}
start=$(date +%s)
say() { printf '\n[%d s] %s\n' $(($(date +%s) - start)) "$*"; }

say "text that the teacher makes up, to train on: $OUT/data"
"$bin"/llmqat-train generate --model "$TEACHER" --out "$OUT/data" --from-bos --greedy 0 --top-k 0 --samples "$SAMPLES" --max-tokens "$LENGTH"
say "the same of another seed, to evaluate on: $OUT/held"
"$bin"/llmqat-train generate --model "$TEACHER" --out "$OUT/held" --cache "$OUT/data" --from-bos --greedy 0 --top-k 0 --samples 64 --max-tokens "$LENGTH" --seed 1000003

say "training: $OUT/run"
resume=
[ -e "$OUT/run/config.json" ] && resume=--resume
# FLAGS are several words.
# shellcheck disable=SC2086
"$bin"/llmqat-train qat --teacher "$TEACHER" --data "$OUT/data" --held "$OUT/held" --out "$OUT/run" $resume --steps "$STEPS" --length "$LENGTH" --lm-head-bits 16 $FLAGS

say "what it brought"
"$bin"/llmqat-train report "$OUT/run" --curves "$OUT/curves.svg"

say "served"
: > "$OUT/serve.log" # which is read before the server has written
"$bin"/llmqat-serve --model "$OUT/run/student.qat" --addr 127.0.0.1:0 2>> "$OUT/serve.log" &
server=$!
trap 'kill $server 2> /dev/null || true' EXIT
url=
until [ -n "$url" ]; do
	kill -0 $server 2> /dev/null || { cat "$OUT/serve.log"; exit 1; }
	url=$(sed -n 's/.*url=\(http[^ ]*\).*/\1/p' "$OUT/serve.log")
	sleep 0.1
done
for prompt in "Once upon a time" "The big dog"; do
	curl -fsS "$url/v1/completions" -d "{\"prompt\": \"$prompt\", \"max_tokens\": 64, \"temperature\": 0}"
	echo
done
say "done: llmqat-serve --model $OUT/run/student.qat serves it, $OUT/run/curves.png and $OUT/curves.svg show how it went"
