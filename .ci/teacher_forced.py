#!/usr/bin/env python3
"""Holds a running llmqat-serve to an independent LLaMA.

Cuts the first 54,000 characters of a text in 60 pieces of 900, encodes each with
SentencePiece's own library, BOS in front, 256 tokens at most, and asks the server
for the log-probability of every token (echo, logprobs, max_tokens 0). Prints the
perplexity over all predicted tokens.

  teacher_forced.py URL HF_DIR TEXT --logprobs 1e-3    against numpy, in float64
  teacher_forced.py URL HF_DIR TEXT --perplexity 5.37  within 2 %

Exit status 1 where a bound does not hold.
"""
import argparse
import json
import pathlib
import sys
import urllib.request

import numpy as np
import sentencepiece
from safetensors import safe_open


def llama_logprobs(hf_dir):
    """Returns a function from token ids [n] to log-probabilities of ids[1:]."""
    cfg = json.loads((hf_dir / "config.json").read_text())
    w = {}
    for shard in sorted(hf_dir.glob("*.safetensors")):
        with safe_open(shard, "np") as f:
            w |= {k: f.get_tensor(k).astype(np.float64) for k in f.keys()}
    h, heads = cfg["hidden_size"], cfg["num_attention_heads"]
    kv_heads = cfg.get("num_key_value_heads", heads)
    dim = cfg.get("head_dim") or h // heads
    freq = cfg["rope_theta"] ** (-np.arange(0, dim, 2) / dim)

    def norm(x, weight):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + cfg["rms_norm_eps"]) * weight

    def rope(x):  # [n, heads, dim], halves rotated
        angle = np.arange(len(x))[:, None, None] * freq
        a, b = x[..., : dim // 2], x[..., dim // 2 :]
        return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)

    def run(ids):
        n = len(ids)
        x = w["model.embed_tokens.weight"][ids]
        for layer in range(cfg["num_hidden_layers"]):
            p = lambda name: w[f"model.layers.{layer}.{name}.weight"]
            y = norm(x, p("input_layernorm"))
            q = rope((y @ p("self_attn.q_proj").T).reshape(n, heads, dim))
            k = rope((y @ p("self_attn.k_proj").T).reshape(n, kv_heads, dim))
            v = (y @ p("self_attn.v_proj").T).reshape(n, kv_heads, dim)
            k, v = (np.repeat(t, heads // kv_heads, 1) for t in (k, v))
            s = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(dim)
            s = np.where(np.tri(n, dtype=bool), s, -np.inf)
            s = np.exp(s - s.max(-1, keepdims=True))
            s /= s.sum(-1, keepdims=True)
            x = x + np.einsum("hqk,khd->qhd", s, v).reshape(n, -1) @ p("self_attn.o_proj").T
            y = norm(x, p("post_attention_layernorm"))
            g = y @ p("mlp.gate_proj").T
            x = x + (g / (1 + np.exp(-g)) * (y @ p("mlp.up_proj").T)) @ p("mlp.down_proj").T
        head = w["model.embed_tokens.weight"] if cfg["tie_word_embeddings"] else w["lm_head.weight"]
        logits = norm(x, w["model.norm.weight"]) @ head.T
        logits -= logits.max(-1, keepdims=True)
        logp = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        return logp[np.arange(n - 1), ids[1:]]

    return run


def served_logprobs(url, ids):
    body = {"prompt": ids, "max_tokens": 0, "echo": True, "logprobs": 0}
    req = urllib.request.Request(f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(req, timeout=60) as r:
        return json.load(r)["choices"][0]["logprobs"]["token_logprobs"][1:]


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("url")
    a.add_argument("hf_dir", type=pathlib.Path)
    a.add_argument("text", type=pathlib.Path)
    a.add_argument("--logprobs", type=float, help="largest difference allowed to the float model")
    a.add_argument("--perplexity", type=float, help="expected, within 2 %%")
    a = a.parse_args()
    text = a.text.read_text()
    sp = sentencepiece.SentencePieceProcessor(model_file=str(a.hf_dir / "tokenizer.model"))
    reference = llama_logprobs(a.hf_dir) if a.logprobs is not None else None
    nll = count = worst = 0
    for i in range(60):
        ids = [sp.bos_id()] + sp.encode(text[900 * i : 900 * (i + 1)])
        ids = ids[:256]
        got = served_logprobs(a.url, ids)
        assert len(got) == len(ids) - 1, (len(got), len(ids))
        nll, count = nll - sum(got), count + len(got)
        if reference:
            worst = max(worst, np.abs(reference(ids) - got).max())
    ppl = float(np.exp(nll / count))
    print(f"perplexity {ppl:.4f} over {count} tokens", end="")
    ok = True
    if reference:
        ok &= bool(worst <= a.logprobs)
        print(f", largest difference to the float model {worst:.2e} (allowed {a.logprobs:g})", end="")
    if a.perplexity is not None:
        off = ppl / a.perplexity - 1
        ok &= abs(off) <= 0.02
        print(f", {off:+.2%} from {a.perplexity} (allowed 2 %)", end="")
    print("" if ok else ": FAILED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
