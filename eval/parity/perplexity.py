"""Prints the perplexity of a wiki.test.raw by transformers: GPTQ's convention."""

import argparse
import json
import math
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

import reference


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", type=Path, required=True, help="Hugging Face directory")
    p.add_argument("--text", type=Path, required=True, help="wiki.test.raw")
    p.add_argument("--length", type=int, default=512, help="tokens of a window")
    args = p.parse_args()
    model = reference.load(args.model)
    # Hugging Face's wikitext-2-raw-v1 has a row for a line, empty where the line is blank.
    with args.text.open(encoding="utf-8") as f:
        rows = [row if row.strip() else "" for row in f]
    cut = reference.windows(args.model, "\n\n".join(rows), args.length)
    nll = 0.0
    with torch.inference_mode():
        for batch in cut.split(8):
            logits = model(batch, use_cache=False).logits[:, :-1]
            nll += cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="none").double().sum().item()
    tokens = len(cut) * (args.length - 1)
    print(json.dumps({"windows": len(cut), "tokens": tokens, "nll": nll / tokens, "perplexity": math.exp(nll / tokens)}))


if __name__ == "__main__":
    main()
