"""LLaMA as transformers and torch compute it, in float32 on the CPU."""

import sentencepiece
import torch
from transformers import AutoModelForCausalLM


def load(directory):
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()


def windows(directory, text, length):
    """Tokenizes text as a whole, BOS first, and cuts it; the tail that fills no window is dropped.

    By SentencePiece itself, as LLaMA's own code does: transformers leaves the space out that
    belongs before a text which begins with one.
    """
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(directory / "tokenizer.model"))
    ids = torch.tensor([tokenizer.bos_id(), *tokenizer.encode(text)])
    return ids[: len(ids) // length * length].view(-1, length)
