"""Writes the eight zero-shot sets in the columns of lm-evaluation-harness' own task files.

The harness fetches its data from the Hugging Face hub; a machine may not. Each task made here
includes the harness' own YAML file, which keeps prompts, choices and metrics, and replaces
only where its data comes from, by files of LLMQAT_TESTDATA/eval.
"""

import argparse
import json
import re
from pathlib import Path

import lm_eval

HARNESS = Path(lm_eval.__file__).parent / "tasks"


def instructions(path):
    """Yields (question, choices, gold) of a file of instruction texts.

    "... the question: Q\n\nAnswer1: A Answer2: B\n\nAnswer format: answer1/answer2"
    """
    for item in json.loads(path.read_text()):
        text, names = cut(item["instruction"], "Answer format")
        text = text.split(": ", 1)[1]
        choices = []
        for name in reversed(names.split("/")):
            text, choice = cut(text, name.capitalize())
            choices.insert(0, choice)
        yield text, choices, int(item["answer"][-1]) - 1


def cut(text, name):
    """Returns what stands before "name: ", without the space or blank line that parts them, and after it.

    All other space is the data set's own, and a model sees it.
    """
    return re.fullmatch(rf"(.*)(?:\n\n| ){name}: (.*)", text, re.DOTALL).groups()


def multiple_choice(question, texts, gold):
    labels = "ABCDE"[: len(texts)]
    return {"choices": {"text": texts, "label": list(labels)}, "answerKey": labels[gold], **question}


def arc(path):
    for question, choices, gold in instructions(path):
        yield multiple_choice({"question": question}, choices, gold)


def openbookqa(path):
    for question, choices, gold in instructions(path):
        yield multiple_choice({"question_stem": question}, choices, gold)


def piqa(path):
    for goal, (sol1, sol2), gold in instructions(path):
        yield {"goal": goal, "sol1": sol1, "sol2": sol2, "label": gold}


def social_iqa(path):
    for text, (a, b, c), gold in instructions(path):
        # Context and question are one text here; the prompt joins them by a space again.
        context, question = text.split(" ", 1)
        yield {"context": context, "question": question, "answerA": a, "answerB": b, "answerC": c, "label": str(gold + 1)}


def winogrande(path):
    for sentence, (option1, option2), gold in instructions(path):
        yield {"sentence": sentence, "option1": option1, "option2": option2, "answer": str(gold + 1)}


def boolq(path):
    for line in path.read_text().splitlines():
        item = json.loads(line)
        yield {k: item[k] for k in ("passage", "question", "label")}


def hellaswag(path):
    lines = path.read_text().split("\n")
    for i in range(0, len(lines) - 5, 6):
        # "activity: context", where ctx_a and ctx_b stand joined already.
        activity, context = lines[i].split(": ", 1)
        yield {"activity_label": activity, "ctx_a": context, "ctx_b": "", "endings": lines[i + 2 : i + 6], "label": lines[i + 1]}


# Task: the harness' file, our file and its reader.
TASKS = {
    "arc_challenge": ("arc/arc_challenge.yaml", "ARC-Challenge.test.json", arc),
    "arc_easy": ("arc/arc_easy.yaml", "ARC-Easy.test.json", arc),
    "boolq": ("super_glue/boolq/default.yaml", "boolq_val_joined.jsonl", boolq),
    "hellaswag": ("hellaswag/hellaswag.yaml", "hellaswag_val_full.txt", hellaswag),
    "openbookqa": ("openbookqa/openbookqa.yaml", "openbookqa.test.json", openbookqa),
    "piqa": ("piqa/piqa.yaml", "piqa.test.json", piqa),
    "social_iqa": ("siqa/siqa.yaml", "social_i_qa.test.json", social_iqa),
    "winogrande": ("winogrande/default.yaml", "winogrande.test.json", winogrande),
}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True, help="directory of the sets: LLMQAT_TESTDATA/eval")
    p.add_argument("--out", type=Path, required=True, help="directory for the task files: lm_eval's --include_path")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for task, (yaml, file, read) in TASKS.items():
        rows = args.out.resolve() / f"{task}.jsonl"
        with rows.open("w") as f:
            for row in read(args.data / file):
                f.write(json.dumps(row) + "\n")
        config = {
            "include": str(HARNESS / yaml),
            "task": f"parity_{task}",
            "tag": "parity",
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": {"test": str(rows)}},
            "training_split": None,
            "validation_split": None,
            "test_split": "test",
        }
        # JSON is YAML.
        (args.out / f"{task}.yaml").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
