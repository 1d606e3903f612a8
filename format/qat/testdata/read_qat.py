#!/usr/bin/env python3
"""Reads a .qat file with the Python safetensors package alone, and checks it.

    pip install safetensors numpy
    read_qat.py m.qat                 checksums, types, shapes and places
    read_qat.py m.qat expected.json   and rows: [{"tensor": name, "row": r, "values": [...]}, ...]
"""
import hashlib
import json
import struct
import sys

import numpy as np
from safetensors import safe_open


def dequantize(f, name, shape):
    """Returns the named weight of the open file f as float32 of its true shape."""
    w = f.get_tensor(name)
    if len(shape) == 1:
        return w
    if w.dtype == np.uint8:  # int4: 64 inputs in 32 bytes, byte j holds inputs j and j + 32
        packs = w.reshape(shape[0], -1, 32)
        w = np.concatenate([packs & 15, packs >> 4], axis=2).reshape(shape[0], -1).astype(np.int8) - 8
    w = w[:, : shape[1]].astype(np.float32)
    if name + "_scale" in f.keys():
        w *= f.get_tensor(name + "_scale")[:, None]
    return w


def read_header(path):
    """Returns the header and the offset of the data, after checking the header's own checksum."""
    with open(path, "rb") as file:
        raw = file.read(8)
        raw += file.read(struct.unpack("<Q", raw)[0])
    header = json.loads(raw[8:])
    key = b'"header_sha256":"'
    assert raw.count(key) == 1, "no header checksum"
    at = raw.index(key) + len(key)
    found = hashlib.sha256(raw[:at] + b"0" * 64 + raw[at + 64 :]).hexdigest()
    assert found == raw[at : at + 64].decode(), f"header's SHA-256 is {found}"
    return header, len(raw)


def check(path):
    """Checks all that can be told without knowing LLaMA."""
    header, begin = read_header(path)
    assert begin % 64 == 0, f"data begin at {begin}"
    meta = header.pop("__metadata__")
    assert (meta["format"], meta["version"]) == ("llmqat", "1"), meta["format"]
    told = json.loads(meta["tensors"])
    assert told.keys() == header.keys(), told.keys() ^ header.keys()
    data = np.memmap(path, np.uint8, "r")
    end, before = 0, 64
    for name, t in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        first, last = t["data_offsets"]
        size = last - first
        evenness = min(size & -size, 64)
        assert first == end and evenness <= before, f"{name} at {first}"
        end, before = last, evenness
        found = hashlib.sha256(data[begin + first : begin + last]).hexdigest()
        assert found == told[name]["sha256"], f"{name}: SHA-256 is {found}"
    assert begin + end == len(data), f"{len(data)} bytes, tensors end at {begin + end}"
    return meta, {name: t["shape"] for name, t in told.items()}


def main(path, expected=None):
    meta, shapes = check(path)
    q = json.loads(meta["quantization"])
    stored = {4: "U8", 8: "I8", 16: {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}[q["float"]]}
    with safe_open(path, "np") as f:
        for name, shape in shapes.items():
            if name.startswith("tokenizer."):
                continue
            bits = q["lm_head_bits"] if name == "lm_head.weight" else q["weight_bits"] if "_proj" in name else 16
            t = f.get_slice(name)
            want = "F32" if len(shape) == 1 else stored[bits]
            assert t.get_dtype() == want, f"{name} is {t.get_dtype()}, want {want}"
            padded = shape if len(shape) == 1 else [shape[0], -(-shape[1] // 64) * 64 // (2 if bits == 4 else 1)]
            assert t.get_shape() == padded, f"{name} is {t.get_shape()}, want {padded}"
        rows = json.load(open(expected)) if expected else []
        for r in rows:
            found = dequantize(f, r["tensor"], shapes[r["tensor"]])
            found = found[r["row"]] if found.ndim == 2 else found
            want = np.array(r["values"], np.float32)
            assert found.shape == want.shape and (found == want).all(), f"{r['tensor']} row {r['row']}: {found}, want {want}"
    print(f"{path}: {len(shapes)} tensors and {len(rows)} rows are right")


if __name__ == "__main__":
    main(*sys.argv[1:])
