"""A training step of dms beside PyTorch's, in turn: next tokens, all weights, AdamW, the shape of SmolLM2-135M.

    (cd Benchmarks && swift build -c release --product dms-benchmarks)
    pip install torch numpy
    python3 Benchmarks/peers/training.py --rounds 3

PyTorch trains in fp32, and in BF16 by autocast, with its own attention and its own products (oneDNN).
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent


def torch_step(config: dict, length: int, tokens: int, threads: int, bf16: bool, repetitions: int) -> float:
    """Tokens a second: the median over repetitions, after one to warm up."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(threads)
    torch.manual_seed(1)
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    kv_heads = config["num_key_value_heads"]
    width = hidden // heads

    def weight(rows: int, columns: int) -> torch.nn.Parameter:
        return torch.nn.Parameter(torch.randn(rows, columns) * 0.02)

    def norm() -> torch.nn.Parameter:
        return torch.nn.Parameter(torch.ones(hidden))

    layers = [[norm(), weight(hidden + 2 * kv_heads * width, hidden), weight(hidden, hidden), norm(),
               weight(2 * inner, hidden), weight(hidden, inner)] for _ in range(config["num_hidden_layers"])]
    table, last = weight(config["vocab_size"], hidden), norm()
    parameters = [table, last, *(p for layer in layers for p in layer)]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    angles = torch.outer(torch.arange(length), config["rope_theta"] ** (-torch.arange(0, width, 2) / width))
    cosine, sine = (torch.cat([f(angles)] * 2, -1) for f in (torch.cos, torch.sin))
    ids = (torch.arange(tokens) * 7919 % config["vocab_size"]).view(-1, length)
    targets = ids.roll(-1, 1)

    def rotated(x: torch.Tensor) -> torch.Tensor:
        low, high = x.chunk(2, -1)
        return x * cosine.to(x.dtype) + torch.cat([-high, low], -1) * sine.to(x.dtype)

    def normed(x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, [hidden], gain, config["rms_norm_eps"])

    def loss() -> torch.Tensor:
        x = functional.embedding(ids, table)
        for first, qkv, output, second, gate_up, down in layers:
            parts = functional.linear(normed(x, first), qkv).split([hidden, kv_heads * width, kv_heads * width], -1)
            q, k, v = (part.view(*ids.shape, -1, width).transpose(1, 2) for part in parts)
            k, v = (part.repeat_interleave(heads // kv_heads, 1) for part in (k, v))
            attended = functional.scaled_dot_product_attention(rotated(q), rotated(k), v, is_causal=True)
            x = x + functional.linear(attended.transpose(1, 2).reshape(*ids.shape, hidden), output)
            gate, up = functional.linear(normed(x, second), gate_up).chunk(2, -1)
            x = x + functional.linear(functional.silu(gate) * up, down)
        logits = functional.linear(normed(x, last), table)
        return functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())

    rates = []
    for _ in range(repetitions + 1):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rates.append(tokens / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def own_step(options: argparse.Namespace, products: str) -> tuple[float, float]:
    """Tokens a second, and the share of the step that its products alone take, in percent."""
    text = subprocess.run(
        [options.benchmarks, "training", "--model", options.shape, "--length", str(options.length), "--tokens",
         str(options.tokens), "--products", products, "--threads", str(options.threads), "--repetitions",
         str(options.repetitions)], check=True, capture_output=True, text=True).stdout
    rate = re.search(r"^([\d.]+).* tokens/s$", text, re.M)
    share = re.search(r"alone: .* ms, ([\d.]+)", text)
    if not rate or not share:
        sys.exit(f"training.py: {options.benchmarks} printed\n{text}")
    return float(rate[1]), float(share[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmarks", default=str(HERE.parent / ".build/release/dms-benchmarks"))
    parser.add_argument("--shape", default=str(HERE.parent / "shapes/smollm2-135m"), help="a folder with config.json")
    parser.add_argument("--length", type=int, default=1024, help="tokens of a document")
    parser.add_argument("--tokens", type=int, default=2048, help="tokens of a step")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repetitions", type=int, default=3, help="steps of a measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["fp32", "bf16"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    config = json.loads((pathlib.Path(options.shape) / "config.json").read_text(encoding="utf-8"))
    if options.only:
        print(torch_step(config, options.length, options.tokens, options.threads, options.only == "bf16",
                         options.repetitions))
        return
    found: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for kind, products in (("fp32", "f32"), ("bf16", "bf16")):
            rate, share = own_step(options, products)
            found.setdefault(f"dms {kind}", []).append(rate)
            found.setdefault(f"dms {kind}, products, %", []).append(share)
            # A process of its own: neither side finds the other's memory or threads.
            again = [sys.executable, __file__, *sys.argv[1:], "--only", kind]
            peer = subprocess.run(again, check=True, capture_output=True, text=True).stdout
            found.setdefault(f"PyTorch {kind}", []).append(float(peer))
    for name, values in found.items():
        print(f"{name}: {statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})")
    for own in ("dms fp32", "dms bf16"):
        best = [max(pair) for pair in zip(found["PyTorch fp32"], found["PyTorch bf16"])]
        ratios = [mine / peer for mine, peer in zip(found[own], best)]
        print(f"{own} / the better PyTorch: {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")


if __name__ == "__main__":
    main()
