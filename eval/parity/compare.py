"""Compares `llmqat eval --tasks --items` with lm-evaluation-harness' samples, item by item.

A task is equal where no log-likelihood is further away than --tolerance, and no choice of
the likeliest, greedy flag or total differs.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer

METRICS = ("acc", "acc_norm")


def ours(items):
    """Returns {(task, item): line} of our --items under the harness' protocol."""
    _header, *lines = map(json.loads, items.read_text().splitlines())
    return {(x["task"], x["item"]): x for x in lines if x["protocol"] == "lm-eval"}


def harness(directory):
    """Returns {(task, item): sample} and {task: totals} of an --output_path."""
    samples, totals = {}, {}
    for path in directory.rglob("samples_parity_*.jsonl"):
        task = path.name.removeprefix("samples_parity_").rsplit("_", 1)[0]
        for line in path.read_text().splitlines():
            x = json.loads(line)
            samples[task, x["doc_id"]] = x
    for path in directory.rglob("results_*.json"):
        for task, values in json.loads(path.read_text())["results"].items():
            totals[task.removeprefix("parity_")] = {m: values[f"{m},none"] for m in METRICS if f"{m},none" in values}
    return samples, totals


def item_metrics(line):
    """What our line says of the item, as the harness counts it."""
    logprobs = np.array(line["logprobs"])
    return {
        "acc": float(logprobs.argmax() == line["gold"]),
        "acc_norm": float((logprobs / np.array(line["lengths"])).argmax() == line["gold"]),
    }


def longest(sample, tokenizer):
    """Tokens of an item's longest request."""
    return max(len(tokenizer(a["arg_0"] + a["arg_1"]).input_ids) for a in sample["arguments"].values())


def compare(task, mine, samples, fits):
    """Compares the items of a task for which fits(sample) holds."""
    r = {"items": 0, "requests": 0, "delta_logprob_max": 0.0, "greedy_differ": 0, "acc_differ": 0, "acc_norm_differ": 0}
    for (name, i), s in samples.items():
        if name != task or not fits(s):
            continue
        line = mine[name, i]
        theirs = [float(x[0]) for x in s["filtered_resps"]]
        r["items"] += 1
        r["requests"] += len(theirs)
        delta = np.abs(np.array(theirs) - line["logprobs"]).max()
        r["delta_logprob_max"] = max(r["delta_logprob_max"], float(delta))
        r["greedy_differ"] += sum((x[1] == "True") != g for x, g in zip(s["filtered_resps"], line["greedy"], strict=True))
        for m, value in item_metrics(line).items():
            if m in s:
                r[f"{m}_differ"] += value != s[m]
    return r


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--items", type=Path, required=True, help="our --items")
    p.add_argument("--report", type=Path, required=True, help="our --json")
    p.add_argument("--hf", type=Path, required=True, help="the harness' --output_path with its hf backend")
    p.add_argument("--api", type=Path, required=True, help="the same with local-completions")
    p.add_argument("--tokenizer", type=Path, required=True, help="Hugging Face directory")
    p.add_argument("--api-tokens", type=int, required=True, help="tokens of a request that local-completions does not cut")
    p.add_argument("--tolerance", type=float, default=1e-3, help="of a log-likelihood, in nats")
    args = p.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    mine = ours(args.items)
    totals = {t["task"]: t for t in json.loads(args.report.read_text())["tasks"] if t["protocol"] == "lm-eval"}
    hf, hf_totals = harness(args.hf)
    api, _ = harness(args.api)
    result = []
    for task in sorted(hf_totals):
        r = {
            "task": task,
            "ours": {m: totals[task][m]["value"] for m in hf_totals[task]},
            "harness": hf_totals[task],
            "hf": compare(task, mine, hf, lambda s: True),
            # What is longer than the model's context, local-completions cuts by two tokens more than hf.
            "api": compare(task, mine, api, lambda s: longest(s, tokenizer) <= args.api_tokens),
        }
        bad = any(abs(r["ours"][m] - r["harness"][m]) > 1e-9 for m in r["ours"])
        for c in (r["hf"], r["api"]):
            bad |= c["items"] == 0 or not c["delta_logprob_max"] <= args.tolerance
            bad |= any(c[d] for d in ("greedy_differ", "acc_differ", "acc_norm_differ"))
        r["equal"] = not bad
        result.append(r)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
