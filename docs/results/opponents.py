"""The tables "Against training-free methods" of README.md, and the figures that they are of, opponents.json.

    opponents.py collect FOLDER    the figures that docs/results/tables.sh students and opponents left in a folder
    opponents.py tables FILE       tables of such figures
    opponents.py write             puts those of opponents.json into README.md
    opponents.py check             says whether they stand there
"""

import json
import pathlib
import statistics
import sys

# As rows are called; in this order.
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
HERE = pathlib.Path(__file__).parent
BEGIN, END = "<!-- opponents:begin -->\n", "<!-- opponents:end -->\n"


def collect(folder):
    """A result a row: on is held (held-out text), text (the first 64 KB of TinyStories, seed 1) or whole (all of it)."""
    rows = []

    def add(model, bits, method, seed, on, r):
        kv_scheme = "token" if method.endswith("-token") else "head-zp"
        values = [r["kl"]["value"], r["kl"]["se"], r["perplexity"]["value"], r["teacher_perplexity"]["value"], r["top1"]["value"]]
        rows.append([model, bits, kv_scheme, method.removesuffix("-token"), int(seed), on] + [float(f"{v:.8g}") for v in values])

    for path in pathlib.Path(folder).glob("opponents/*.json"):
        model, bits, method, seed, on, _ = path.name.split(".")
        add(model, bits, method, seed, on, json.loads(path.read_text()))
    for path in pathlib.Path(folder).glob("runs/*-qat-*/result.json"):  # evaluated on held-out text as it ended
        name, _, seed = path.parent.name.rpartition("-qat-")
        model, _, bits = name.partition("-")
        add(model, bits, "qat", seed, "held", json.loads(path.read_text())["student"])
    columns = ["model", "bits", "kv_scheme", "method", "seed", "on", "kl", "kl_se", "perplexity", "teacher_perplexity", "same_first"]
    print(f'{{"columns": {json.dumps(columns)},\n"rows": [')
    print(",\n".join(json.dumps(r) for r in sorted(rows)))
    print("]}")


def mean(results, key, form="%.4f"):
    return form % statistics.mean(r[key] for r in results) if results else "-"


def spread(results, key):
    """The mean over seeds and, of several, their standard deviation; behind it how many, where some are missing."""
    cell = mean(results, key)
    if len(results) > 1:
        cell += " ± %.4f" % statistics.stdev(r[key] for r in results)
    if results and results[0]["method"] not in SEEDLESS and len(results) < SEEDS:
        cell += f" ({len(results)})"
    return cell


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])


def by_method(results, head, cell):
    """A row a method, of those that have results; a column a setting, with what cell says of its results."""
    rows = []
    for method, name in ROWS.items():
        of = [r for r in results if r["method"] == method]
        if of:
            rows.append([name] + [cell([r for r in of if r["bits"] == s]) or "-" for s in head])
    return table(["", *head], rows)


def against(results):
    """How much of the best opponent's KL training leaves, setting by setting."""
    cells = ["QAT's KL, of the best opponent's"]
    for s in SETTINGS:
        kl = {m: statistics.mean(v) for m in ROWS if (v := [r["kl"] for r in results if (r["method"], r["bits"]) == (m, s)])}
        student = kl.pop("qat", None)
        best = min(kl, key=kl.get, default=None)
        cells.append("-" if student is None or best is None else f"{100 * student / kl[best]:.0f} % ({best})")
    return "\n| " + " | ".join(cells) + " |"


def tables(path):
    """The text of all tables."""
    file = json.loads(pathlib.Path(path).read_text())
    results = [dict(zip(file["columns"], row)) for row in file["rows"]]
    parts = []
    for model in sorted({r["model"] for r in results}):
        of = {on: [r for r in results if (r["model"], r["on"], r["kv_scheme"]) == (model, on, "head-zp")] for on in ("held", "text", "whole")}
        parts.append(f"### {model}")
        if of["held"]:
            parts.append(f"KL to the teacher on held-out text, mean ± standard deviation over {SEEDS} seeds or, in brackets, fewer; `rtn` and `clip` have none:")
            parts.append(by_method(of["held"], SETTINGS, lambda r: spread(r, "kl")) + against(of["held"]))
            parts.append(f"The same: perplexity (the teacher's is {of['held'][0]['teacher_perplexity']:.3f}), "
                         "and how often both find the same token the likeliest:")
            parts.append(by_method(of["held"], SETTINGS, lambda r: r and f"{mean(r, 'perplexity', '%.3f')}, {100 * statistics.mean(x['same_first'] for x in r):.1f} %"))
        if of["text"]:
            parts.append("KL on the first 64 KB of TinyStories, seed 1, ± its standard error:")
            parts.append(by_method(of["text"], SETTINGS, lambda r: r and f"{r[0]['kl']:.4f} ± {r[0]['kl_se']:.4f}"))
        if of["whole"]:
            parts.append("KL on all of TinyStories, mean ± standard deviation over seeds:")
            parts.append(by_method(of["whole"], [s for s in SETTINGS if any(r["bits"] == s for r in of["whole"])], lambda r: spread(r, "kl")))
        token = [r for r in results if (r["model"], r["on"], r["bits"], r["kv_scheme"]) == (model, "held", "4-8-4", "token")]
        if token:
            parts.append("4-8-4 with the paper's cache, `--kv-scheme token`, seed 1: " + ", ".join(f"`{r['method']}` {r['kl']:.4f}" for r in token) + ".")
    return "\n\n".join(parts) + "\n"


def written():
    """README.md as it is, and as it has the tables of opponents.json."""
    text = (HERE / "README.md").read_text()
    before, _, rest = text.partition(BEGIN)
    _, marked, after = rest.partition(END)
    if not marked:
        sys.exit(f"{HERE}/README.md: no place for the tables: add a line {BEGIN.strip()} and after it a line {END.strip()}")
    return text, f"{before}{BEGIN}\n{tables(HERE / 'opponents.json')}\n{END}{after}"


match sys.argv[1:]:
    case ["collect", folder]:
        collect(folder)
    case ["tables", path]:
        print(tables(path), end="")
    case ["write"]:
        (HERE / "README.md").write_text(written()[1])
    case ["check"]:
        now, want = written()
        if now != want:
            sys.exit(f"{HERE}/README.md: its tables are not those of opponents.json: python3 {sys.argv[0]} write")
    case _:
        sys.exit(__doc__)
