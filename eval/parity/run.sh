#!/bin/sh
# Our evaluation beside lm-evaluation-harness, transformers and torch: `make parity` runs it, docs/eval.md tells of it.
#
#   LLMQAT_TESTDATA  folder with hf/ (models), eval/ (tasks) and text/
#   MODELS           of hf/ (default: stories260K stories3M)
#   LIMIT            items of each task (default: 200)
#   STUDENTS         more .qat files to export, of W-16-16: trained ones, say
#   OUT              folder for all of it (default: bin/parity); what is there already is not done again
#   PYTHON           an interpreter with requirements.txt; unset: one that is made in OUT/venv
#   PORT             of our server (default: 18530)
set -eu
cd "$(dirname "$0")/../.."
here=eval/parity
data=${LLMQAT_TESTDATA:?set it to the folder with hf/, eval/ and text/}
OUT=${OUT:-bin/parity}
mkdir -p "$OUT"
OUT=$(realpath "$OUT")
MODELS=${MODELS:-stories260K stories3M}
LIMIT=${LIMIT:-200}
STUDENTS=${STUDENTS:-}
PORT=${PORT:-18530}
PYTHON=${PYTHON:-$OUT/venv/bin/python}
length=512 # the models' context
export HF_HUB_OFFLINE=1 HF_HOME="$OUT/huggingface" TOKENIZERS_PARALLELISM=false

say() { printf '\n[%s] %s\n' "$(date +%T)" "$*" >&2; }

# once FILE COMMAND...: the command's standard output becomes FILE, once.
once() {
	file=$1
	shift
	[ -e "$file" ] && return
	"$@" > "$file.part"
	mv "$file.part" "$file"
}

if [ ! -x "$PYTHON" ]; then
	say "transformers, torch and lm-evaluation-harness into $OUT/venv"
	python3 -m venv "$OUT/venv"
	"$OUT/venv/bin/pip" install --quiet --requirement $here/requirements.txt
fi

say "llmqat"
CGO_ENABLED=0 go build -o "$OUT/" ./cmd/llmqat ./cmd/llmqat-serve ./$here/logits
"$PYTHON" $here/tasks.py --data "$data/eval" --out "$OUT/tasks"

# harness DIR BACKEND ARGUMENTS: the harness' scores of each item, in DIR.
harness() {
	[ -e "$1" ] && return
	"$PYTHON" -m lm_eval run --model "$2" --model_args "$3" --device cpu --batch_size 32 --tasks parity \
		--include_path "$OUT/tasks" --limit "$LIMIT" --log_samples --output_path "$1.part" > "$1.log" 2>&1 || {
		tail -n 20 "$1.log" >&2
		return 1
	}
	mv "$1.part" "$1"
}

# directory MODEL: its Hugging Face directory, with what LLaMA's own has and these lack. Without it transformers
# takes the tokenizer for one that adds neither BOS nor the space before a text.
directory() {
	dir=$OUT/$1.hf
	mkdir -p "$dir"
	for file in "$data/hf/$1"/*; do
		ln -sf "$(realpath "$file")" "$dir/"
	done
	[ -e "$dir/tokenizer_config.json" ] || printf '%s\n' '{"tokenizer_class": "LlamaTokenizer", "legacy": true,' \
		'"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": true}' > "$dir/tokenizer_config.json"
}

server=
trap '[ -z "$server" ] || kill "$server" 2> /dev/null || true' EXIT

# serve FILE starts our server, and waits until it answers.
serve() {
	"$OUT/llmqat-serve" --model "$1" --addr "127.0.0.1:$PORT" 2> "$OUT/serve.log" &
	server=$!
	until curl -fsS "http://127.0.0.1:$PORT/ready" > /dev/null 2>&1; do
		kill -0 "$server" 2> /dev/null || { cat "$OUT/serve.log" >&2; exit 1; }
		sleep 0.2
	done
}

# tasks MODEL: eight tasks by us, by the harness on our server and by the harness on transformers.
tasks() {
	m=$OUT/$1
	once "$m.tasks.json" "$OUT/llmqat" eval --model "$m.qat" --tasks all --task-data "$data/eval" --limit "$LIMIT" --items "$m.items.jsonl" --json
	serve "$m.qat"
	harness "$m.api" local-completions "model=$1,base_url=http://127.0.0.1:$PORT/v1/completions,tokenizer_backend=huggingface,tokenizer=$m.hf,add_bos_token=True,max_length=$length,num_concurrent=2"
	kill "$server"
	wait "$server" || true
	server=
	harness "$m.hf-backend" hf "pretrained=$m.hf,dtype=float32,max_length=$length"
	# local-completions keeps a token of max_length for the answer that it does not want.
	"$PYTHON" $here/compare.py --items "$m.items.jsonl" --report "$m.tasks.json" --hf "$m.hf-backend" --api "$m.api" \
		--tokenizer "$m.hf" --api-tokens $((length - 1)) > "$m.compared.json"
}

# exported NAME FILE: a student and what transformers makes of its export.
exported() {
	[ -e "$OUT/$1.export" ] || "$OUT/llmqat" export --model "$2" --format hf --float f32 --out "$OUT/$1.export"
	once "$OUT/$1.exported.json" "$PYTHON" $here/exported.py --qat "$2" --exported "$OUT/$1.export" \
		--logits "$OUT/logits" --text "$data/text/tinystories.txt" --length $length
}

for model in $MODELS; do
	directory "$model"
	[ -e "$OUT/$model.qat" ] || "$OUT/llmqat" quantize --model "$data/hf/$model" --bits 16-16-16 --float f32 --out "$OUT/$model.qat"

	say "$model: tasks"
	tasks "$model"

	say "$model: perplexity of wiki.test.raw"
	once "$OUT/$model.perplexity.json" "$OUT/llmqat" eval --model "$OUT/$model.qat" --text "$data/text/wiki.test.raw" --wikitext --length $length --json
	once "$OUT/$model.reference.json" "$PYTHON" $here/perplexity.py --model "$OUT/$model.hf" --text "$data/text/wiki.test.raw" --length $length

	# Of f32 the KV cache is float32, too, and of f16 float16, which transformers has not.
	for bits in 4-16-16 8-16-16; do
		for float in f32 f16; do
			student=$model-$bits-$float
			say "$student, exported"
			[ -e "$OUT/$student.qat" ] || "$OUT/llmqat" quantize --model "$data/hf/$model" --bits $bits --float $float --out "$OUT/$student.qat"
			exported "$student" "$OUT/$student.qat"
		done
	done
done
for student in $STUDENTS; do
	say "$student, exported"
	exported "$(printf '%s' "${student%.qat}" | tr -c 'A-Za-z0-9.\n' -)" "$student"
done

say "result"
status=0
"$PYTHON" $here/report.py "$OUT" > "$OUT/report.md" || status=$?
cat "$OUT/report.md"
exit $status
