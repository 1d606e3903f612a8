"""Prints what run.sh found, as Markdown; exits with 1 where that is not what should be.

That is: all tasks equal as compare.py has it, perplexities within 0.1 %, KL below 1e-3.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path


def read(path):
    return json.loads(path.read_text())


def table(head, rows):
    print(f"\n| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(str(c) for c in row)} |")


def percent(values):
    return " / ".join(f"{100 * v:.1f}" for v in values)


def tasks(out):
    for path in sorted(out.glob("*.compared.json")):
        for t in read(path):
            hf, api = t["hf"], t["api"]
            differ = sum(c[d] for c in (hf, api) for d in ("greedy_differ", "acc_differ", "acc_norm_differ"))
            yield (
                path.name.removesuffix(".compared.json"), t["task"], hf["items"], f"{hf['delta_logprob_max']:.1e}",
                api["items"], f"{api['delta_logprob_max']:.1e}",
                percent(t["ours"].values()), percent(t["harness"].values()), differ,
            )


def perplexities(out):
    for path in sorted(out.glob("*.reference.json")):
        model = path.name.removesuffix(".reference.json")
        ours, theirs = read(out / f"{model}.perplexity.json"), read(path)
        o, t = ours["perplexity"]["value"], theirs["perplexity"]
        yield model, f"{ours['tokens']} / {theirs['tokens']}", f"{o:.5f}", f"{t:.5f}", f"{100 * (o / t - 1):+.5f} %"


def exports(out):
    for path in sorted(out.glob("*.exported.json")):
        e = read(path)
        yield (
            path.name.removesuffix(".exported.json"), e["windows"], e["tokens"],
            f"{e['kl']:.1e}", f"{e['kl_max']:.1e}", f"{e['delta_logprob_max']:.1e}", f"{100 * e['top1']:.3f} %",
        )


def wrong(out):
    """Yields what is not as it should be."""
    for path in out.glob("*.compared.json"):
        yield from (f"{path}: {t['task']}" for t in read(path) if not t["equal"])
    for path in out.glob("*.reference.json"):
        ours = read(path.with_name(path.name.replace("reference", "perplexity")))
        if abs(ours["perplexity"]["value"] / read(path)["perplexity"] - 1) > 1e-3:
            yield f"{path}: perplexity"
    yield from (f"{path}: KL" for path in out.glob("*.exported.json") if not read(path)["kl_max"] < 1e-3)


def main():
    out = Path(sys.argv[1])
    print(", ".join(f"{p} {version(p)}" for p in ("lm_eval", "transformers", "torch", "datasets")))
    table(("model", "task", "items", "largest Δ ln p", "items by the server", "largest Δ ln p",
           "acc / acc_norm, ours", "the harness'", "answers that differ"), tasks(out))
    table(("model", "tokens, ours / theirs", "perplexity, ours", "transformers'", "difference"), perplexities(out))
    table(("export", "windows", "tokens", "mean KL", "largest KL", "largest Δ ln p", "same first"), exports(out))
    if bad := list(wrong(out)):
        sys.exit("differs: " + "; ".join(bad))


if __name__ == "__main__":
    main()
