"""Prints how far an exported directory, run by transformers, is from the .qat file that it was made of.

KL(ours || theirs), over the whole vocabulary, of every token of windows of text.
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np
import torch

import reference


def ours(command, qat, windows, vocab):
    """Returns our logits [windows, length, vocab]."""
    out = subprocess.run([command, qat], input=json.dumps(windows.tolist()).encode(), stdout=subprocess.PIPE, check=True).stdout
    return torch.from_numpy(np.frombuffer(out, "<f4").reshape(*windows.shape, vocab).copy())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--qat", type=Path, required=True, help="our checkpoint")
    p.add_argument("--exported", type=Path, required=True, help="what llmqat export made of it")
    p.add_argument("--logits", type=Path, required=True, help="the built eval/parity/logits")
    p.add_argument("--text", type=Path, required=True)
    p.add_argument("--windows", type=int, default=24)
    p.add_argument("--length", type=int, default=512, help="tokens of a window")
    args = p.parse_args()
    model = reference.load(args.exported)
    windows = reference.windows(args.exported, args.text.read_text(), args.length)[: args.windows]
    with torch.inference_mode():
        theirs = model(windows).logits.double().log_softmax(-1)
    mine = ours(args.logits, args.qat, windows, theirs.shape[-1]).double().log_softmax(-1)
    kl = (mine.exp() * (mine - theirs)).sum(-1)
    same = mine.argmax(-1) == theirs.argmax(-1)
    print(json.dumps({
        "windows": len(windows),
        "tokens": kl.numel(),
        "kl": kl.mean().item(),
        "kl_max": kl.max().item(),
        "delta_logprob_max": (mine - theirs).abs().max().item(),
        "top1": same.double().mean().item(),
    }))


if __name__ == "__main__":
    main()
