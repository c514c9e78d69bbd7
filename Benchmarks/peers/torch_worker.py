"""What run.py has done by PyTorch: the prefill of a Qwen2 shape with random BF16 weights; prints one JSON object."""

import json
import resource
import statistics
import sys
import time

import torch
from torch.nn.functional import embedding, linear, rms_norm, scaled_dot_product_attention, silu

spec = json.loads(sys.argv[1])
with open(spec["config"], encoding="utf-8") as file:
    config = json.load(file)
torch.set_num_threads(spec["threads"])
hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
kv_heads, width = config["num_key_value_heads"], hidden // heads
block = torch.empty(1 << 24).normal_(0, 0.02).bfloat16()


def random(rows: int, columns: int) -> torch.Tensor:
    return block.repeat(-(-rows * columns // block.numel()))[:rows * columns].reshape(rows, columns).clone()


kv_width = kv_heads * width
shapes = [(hidden + 2 * kv_width, hidden), (hidden, hidden), (2 * inner, hidden), (hidden, inner)]
layers = [[random(*shape) for shape in shapes] for _ in range(config["num_hidden_layers"])]
embeddings, head = random(config["vocab_size"], hidden), random(config["vocab_size"], hidden)
bias, ones = torch.zeros(hidden + 2 * kv_width).bfloat16(), torch.ones(hidden).bfloat16()
angles = torch.outer(torch.arange(spec["prompt"]), config["rope_theta"] ** (-torch.arange(0, width, 2) / width))
cosine, sine = (torch.cat([f(angles)] * 2, -1).bfloat16() for f in (torch.cos, torch.sin))


def rotated(x: torch.Tensor) -> torch.Tensor:
    low, high = x.chunk(2, -1)
    return x * cosine + torch.cat([-high, low], -1) * sine


def forward(ids: torch.Tensor) -> torch.Tensor:
    x = embedding(ids, embeddings)
    for qkv_weights, output, gate_up, down in layers:
        qkv = linear(rms_norm(x, [hidden], ones), qkv_weights, bias)
        parts = qkv.split([hidden, kv_width, kv_width], -1)
        q, k, v = (part.view(1, len(ids), -1, width).transpose(1, 2) for part in parts)
        attended = scaled_dot_product_attention(rotated(q), rotated(k), v, is_causal=True, enable_gqa=True)
        x = x + linear(attended.transpose(1, 2).reshape(len(ids), hidden), output)
        gate, up = linear(rms_norm(x, [hidden], ones), gate_up).chunk(2, -1)
        x = x + linear(silu(gate) * up, down)
    return linear(rms_norm(x[-1:], [hidden], ones), head)


ids = torch.arange(spec["prompt"]) * 7919 % config["vocab_size"]
rates = []
with torch.inference_mode():
    for _ in range(spec["repetitions"] + 1):
        start = time.perf_counter()
        forward(ids)
        rates.append(spec["prompt"] / (time.perf_counter() - start))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"values": {"prefill dense 0 1": statistics.median(rates[1:])}, "peak": peak}))
