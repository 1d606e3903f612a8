#!/usr/bin/env python3
"""A step of LLM-QAT in PyTorch on the CPU, to hold `bench --train` against.

  python3 bench/torch_step.py --shape stories260k --threads 2 --mode eager
  python3 bench/torch_step.py --shape stories3m --against "bin/bench" --rounds 5 --mode both

The step is llmqat-train's default: the teacher's and the student's forward on 8 x 256 tokens,
4-8-4 fake quantization with learned weight steps (LSQ) and straight-through gradients, KL
over the whole vocabulary, backward, clipping to 1 and AdamW, all in float32. It is written
as PyTorch has it fastest: vectorised rounding, one GEMM for q, k and v and one for gate and
up, SDPA, fused AdamW, no gradient where none is due; --mode compile is the same by
torch.compile. With --against, rounds of ours and theirs alternate; ratios are of medians.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile, time

import torch
import torch.nn.functional as F

# hidden, intermediate, layers, heads, KV heads, vocabulary; the embedding is tied
SHAPES = {
    "stories260k": (64, 172, 5, 8, 4, 512),
    "stories3m": (192, 512, 6, 6, 2, 4096),
    "stories15m": (288, 768, 6, 6, 6, 32000),
}


def fake(x, bits):
    """Symmetric, a scale for each vector of the last dimension; its gradient goes straight through."""
    with torch.no_grad():
        qmax = 2 ** (bits - 1) - 1
        scale = x.abs().amax(-1, keepdim=True).div_(qmax).clamp_min_(1e-12)
        error = (x / scale).round_().mul_(scale).sub_(x)
    return x + error


def fake_kv(x):
    """4 bits with a minimum, both float16, a scale for each token and head."""
    with torch.no_grad():
        lo, hi = x.aminmax(dim=-1, keepdim=True)
        zero = lo.half().float()
        scale = ((hi - zero).clamp_min_(0) / 15).half().float().clamp_min_(6e-8)
        error = ((x - zero) / scale).round_().clamp_(0, 15).mul_(scale).add_(zero).sub_(x)
    return x + error


class LSQ(torch.autograd.Function):
    """Weights of 4 bits by a learned step a row (arXiv:1902.08153)."""

    @staticmethod
    def forward(ctx, w, step):
        v = w / step
        q = v.round().clamp_(-8, 7)
        ctx.save_for_backward(v, q)
        return q * step

    @staticmethod
    def backward(ctx, g):
        v, q = ctx.saved_tensors
        inside = (v >= -8) & (v <= 7)
        slope = torch.where(inside, q - v, q)
        return g * inside, (g * slope).sum(-1, keepdim=True) * (v.shape[-1] * 7) ** -0.5


def fake_head(w):
    """8 bits, a scale a row."""
    return fake(w, 8)


class Layer(torch.nn.Module):
    def __init__(self, h, f, heads, kv, quantized):
        super().__init__()
        d = h // heads
        self.heads, self.kv, self.d, self.quantized = heads, kv, d, quantized
        make = lambda out, inp: torch.nn.Parameter(torch.randn(out, inp) * inp**-0.5)
        self.weights = torch.nn.ParameterList([make(h + 2 * kv * d, h), make(h, h), make(2 * f, h), make(h, f)])
        self.norms = torch.nn.ParameterList([torch.nn.Parameter(torch.ones(h)) for _ in range(2)])
        if quantized:
            self.steps = torch.nn.ParameterList([torch.nn.Parameter(w.detach().abs().amax(-1, keepdim=True) / 7) for w in self.weights])

    def linear(self, x, i):
        w = LSQ.apply(self.weights[i], self.steps[i]) if self.quantized else self.weights[i]
        return F.linear(x, w)

    def act(self, x):
        return fake(x, 8) if self.quantized else x

    def forward(self, x, cos, sin):
        b, t, h = x.shape
        y = self.linear(self.act(F.rms_norm(x, (h,), self.norms[0], 1e-5)), 0)
        q, k, v = y.split([h, self.kv * self.d, self.kv * self.d], -1)
        q, k, v = (z.view(b, t, -1, self.d).transpose(1, 2) for z in (q, k, v))
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        if self.quantized:
            q, k, v = fake(q, 8), fake_kv(k), fake_kv(v)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.kv != self.heads)
        a = a.transpose(1, 2).reshape(b, t, h)
        x = x + self.linear(self.act(a), 1)
        gate, up = self.linear(self.act(F.rms_norm(x, (h,), self.norms[1], 1e-5)), 2).chunk(2, -1)
        return x + self.linear(self.act(F.silu(gate) * up), 3)


def turn(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Model(torch.nn.Module):
    def __init__(self, shape, length, quantized):
        super().__init__()
        h, f, layers, heads, kv, vocab = shape
        self.embed = torch.nn.Parameter(torch.randn(vocab, h) * h**-0.5)
        self.layers = torch.nn.ModuleList([Layer(h, f, heads, kv, quantized) for _ in range(layers)])
        self.norm = torch.nn.Parameter(torch.ones(h))
        self.quantized = quantized
        half = h // heads // 2
        angle = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, ids):
        x = F.embedding(ids, self.embed)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        x, w = F.rms_norm(x, x.shape[-1:], self.norm, 1e-5), self.embed
        if self.quantized:
            x, w = fake(x, 8), fake_head(w)
        return F.linear(x, w)


def make_step(shape, windows, length, mode):
    torch.manual_seed(1)
    teacher, student = Model(shape, length, False), Model(shape, length, True)
    student.load_state_dict(teacher.state_dict(), strict=False)
    for layer in student.layers:
        for step, w in zip(layer.steps, layer.weights):
            step.data = w.detach().abs().amax(-1, keepdim=True) / 7
    steps = [p for n, p in student.named_parameters() if ".steps." in n]
    weights = [p for n, p in student.named_parameters() if ".steps." not in n]
    groups = [{"params": weights, "lr": 1e-4}, {"params": steps, "lr": 1e-5}]
    opt = torch.optim.AdamW(groups, weight_decay=0, fused=True)
    ids = torch.randint(shape[5], (windows, length))

    def loss_of(ids):
        with torch.no_grad():
            # the last token of a window has no target
            wanted = F.log_softmax(teacher(ids)[:, :-1].flatten(0, 1), -1)
        got = F.log_softmax(student(ids)[:, :-1].flatten(0, 1), -1)
        return F.kl_div(got, wanted, reduction="batchmean", log_target=True)

    if mode == "compile":
        loss_of = torch.compile(loss_of)

    def step():
        loss = loss_of(ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0, foreach=True)
        opt.step()
        opt.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_clamp_min_(steps, 1e-5)
        return loss.item()

    return step


def ours(bench, a):
    """Tokens/s of each step that `bench --train` did."""
    with tempfile.TemporaryDirectory() as d:
        out = os.path.join(d, "out")
        subprocess.run([bench, "--train", "--shape", a.shape, "--compare", "4-8-4", "--batch", str(a.batch), "--context", str(a.length),
                        "--threads", str(a.threads), "--repeats", str(a.steps), "--out", out],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(out + ".json") as f:
            return json.load(f)["models"][0]["rates"][0]["samples"]


def report(a, rates):
    n = len(next(iter(rates.values()))) // a.steps
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {a.shape}, {a.batch} x {a.length} tokens, {a.threads} threads, "
          f"round {n} of {a.rounds}, {a.steps} steps each")
    for name, r in rates.items():
        r = sorted(r)
        line = f"{name:8} {statistics.median(r):9.0f} tokens/s (quartiles {r[len(r) // 4]:.0f} to {r[len(r) * 3 // 4]:.0f}, best {r[-1]:.0f})"
        if a.against and name != "llmqat":
            line += f", llmqat {statistics.median(rates['llmqat']) / statistics.median(r):.2f}x"
        print(line, flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shape", choices=SHAPES, default="stories260k")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch", type=int, default=8, help="windows")
    p.add_argument("--length", type=int, default=256, help="tokens of a window")
    p.add_argument("--mode", choices=["eager", "compile", "both"], default="both")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--steps", type=int, default=5, help="of a round")
    p.add_argument("--against", metavar="BENCH", help="llmqat's bench, to alternate with")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.set_num_interop_threads(1)
    modes = ["eager", "compile"] if a.mode == "both" else [a.mode]
    steps, rates = {}, {m: [] for m in modes}
    for m in modes:
        steps[m] = make_step(SHAPES[a.shape], a.batch, a.length, m)
        first, loss = steps[m](), 0.0
        for _ in range(3):  # compiles, and touches memory
            loss = steps[m]()
        print(f"{m}: KL {first:.3f} at the first step, {loss:.3f} at the fourth", file=sys.stderr)
    if a.against:
        rates["llmqat"] = []
    for _ in range(a.rounds):
        if a.against:
            rates["llmqat"] += ours(a.against, a)
        for m in modes:
            steps[m]()
            for _ in range(a.steps):
                start = time.perf_counter()
                steps[m]()
                rates[m].append(a.batch * a.length / (time.perf_counter() - start))
        report(a, rates)


main()
