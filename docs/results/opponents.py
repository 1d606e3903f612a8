"""Tables of what docs/results/tables.sh students and opponents left in a folder: python3 opponents.py FOLDER."""

import collections
import json
import pathlib
import statistics
import sys

# As rows are called; in this order. A method that is missing here has its own name.
ROWS = {
    "rtn": "`rtn`",
    "clip": "`clip`",
    "smoothquant": "`smoothquant`",
    "clip+act-order": "GPTQ: `clip+act-order`",
    "awq": "`awq`",
    "hadamard": "`hadamard`",
    "smooth-attention": "`smooth-attention`",
    "qoq": "`qoq`",
    "awq+act-order": "`awq+act-order`",
    "smooth-attention+clip+act-order": "`smooth-attention+clip+act-order`",
    "hadamard+smooth-attention": "`hadamard+smooth-attention`",
    "hadamard+clip+act-order": "`hadamard+clip+act-order`",
    "qoq+act-order": "`qoq+act-order`",
    "qat": "**trained (QAT)**",
}
SETTINGS = ["4-8-4", "8-8-4", "4-8-8", "4-4-4"]
SEEDS = 3
SEEDLESS = ["rtn", "clip"]


def load(folder):
    """results[model][text][method][setting] is the list of llmqat eval's reports, by seed."""
    results = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(dict)))
    for path in sorted(pathlib.Path(folder).glob("opponents/*.json")):
        model, setting, method, seed, text, _ = path.name.split(".")
        results[model][text][method].setdefault(setting, {})[int(seed)] = json.loads(path.read_text())
    for path in sorted(pathlib.Path(folder).glob("runs/*-qat-*/result.json")):  # evaluated on held-out text as it ended
        name, _, seed = path.parent.name.rpartition("-qat-")
        model, _, setting = name.partition("-")
        result = json.loads(path.read_text())
        results[model]["held"]["qat"].setdefault(setting, {})[int(seed)] = result["student"]
        results[model]["held"]["rtn"][setting] = {1: result["rtn"]}
    return results


def mean(by_method, method, setting, key, form="%.4f", scale=1):
    """The mean over seeds and, of several, their standard deviation; behind it how many, where some are missing."""
    values = [r[key]["value"] * scale for r in by_method[method].get(setting, {}).values()]
    if not values:
        return "-"
    cell = form % statistics.mean(values)
    if len(values) > 1:
        cell += " ± " + form % statistics.stdev(values)
    if method not in SEEDLESS and len(values) < SEEDS:
        cell += f" ({len(values)})"
    return cell


def average(by_method, method, setting, key):
    return statistics.mean(r[key]["value"] for r in by_method[method][setting].values())


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])


def against(by_method):
    """How much of the best opponent's KL training leaves, setting by setting."""
    row = ["QAT's KL, of the best opponent's"]
    for s in SETTINGS:
        kl = {m: average(by_method, m, s, "kl") for m, b in by_method.items() if b.get(s) and m in ROWS}
        student = kl.pop("qat", None)
        best = min(kl, key=kl.get, default=None)
        row.append("-" if student is None or best is None else f"{100 * student / kl[best]:.0f} % ({best})")
    return row


def report(model, texts):
    held = texts["held"]
    print(f"\n### {model}\n")
    methods = [m for m in ROWS if m in held]
    print(f"KL to the teacher on held-out text, mean ± standard deviation over {SEEDS} seeds; in brackets how many there are, if fewer:\n")
    rows = [[ROWS[m]] + [mean(held, m, s, "kl") for s in SETTINGS] for m in methods]
    print(table(["", *SETTINGS], rows + [against(held)]))
    teacher = next(r["teacher_perplexity"]["value"] for b in held.values() for s in b.values() for r in s.values())
    print(f"\nThe same: perplexity (the teacher's is {teacher:.3f}), and how often both find the same token the likeliest:\n")
    print(table(["", *SETTINGS], [[ROWS[m]] + [
        f"{average(held, m, s, 'perplexity'):.3f}, {100 * average(held, m, s, 'top1'):.1f} %" if held[m].get(s) else "-"
        for s in SETTINGS] for m in methods]))
    text = texts.get("text", {})
    print("\nKL on TinyStories, seed 1, ± its standard error:\n")
    print(table(["", *SETTINGS], [[ROWS[m]] + [
        "%.4f ± %.4f" % (text[m][s][1]["kl"]["value"], text[m][s][1]["kl"]["se"]) if s in text.get(m, {}) else "-" for s in SETTINGS] for m in methods if text.get(m)]))
    token = [m for m in held if m.endswith("-token")]
    if token:
        print("\n4-8-4 with the paper's cache, `--kv-scheme token`, seed 1: " + ", ".join(
            f"`{m.removesuffix('-token')}` {average(held, m, '4-8-4', 'kl'):.4f}" for m in sorted(token)) + ".")


for model, texts in load(sys.argv[1]).items():
    report(model, texts)
