"""What run.py has done by llama.cpp, in a process of its own so that its memory is given back; prints one JSON object.

    llama_worker.py make CONFIG.json OUT.gguf           # a Qwen2 model of that shape with random F16 weights
    llama_worker.py quantize IN.gguf OUT.gguf FORMAT    # as llama-quantize does by default
    llama_worker.py measure '{"model": ..., ...}'       # the keys are those that `measure` reads
"""

import ctypes
import json
import os
import resource
import statistics
import struct
import sys
import time

import llama_cpp as llama


@llama.llama_log_callback
def log_errors(level: int, text: bytes, _: object) -> None:
    if level == 4:
        sys.stderr.write(text.decode(errors="replace"))


def make(config_path: str, path: str) -> None:
    import gguf
    import numpy as np

    with open(config_path, encoding="utf-8") as file:
        config = json.load(file)
    hidden, inner, layers = (config[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    heads, kv_heads, vocabulary = config["num_attention_heads"], config["num_key_value_heads"], config["vocab_size"]
    kv_width = hidden // heads * kv_heads
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(layers)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("none")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)

    matrices = [("token_embd.weight", (vocabulary, hidden))]
    if not config["tie_word_embeddings"]:
        matrices.append(("output.weight", (vocabulary, hidden)))
    vectors = [("output_norm.weight", hidden, 1.0)]
    for layer in range(layers):
        shapes = {
            "attn_q": (hidden, hidden), "attn_k": (kv_width, hidden), "attn_v": (kv_width, hidden),
            "attn_output": (hidden, hidden), "ffn_gate": (inner, hidden), "ffn_up": (inner, hidden),
            "ffn_down": (hidden, inner),
        }
        matrices += [(f"blk.{layer}.{name}.weight", shape) for name, shape in shapes.items()]
        vectors += [(f"blk.{layer}.{name}.weight", hidden, 1.0) for name in ("attn_norm", "ffn_norm")]
        biases = {"attn_q": hidden, "attn_k": kv_width, "attn_v": kv_width}
        vectors += [(f"blk.{layer}.{name}.bias", width, 0.0) for name, width in biases.items()]
    for name, shape in matrices:
        writer.add_tensor_info(name, shape, np.dtype(np.float16), 2 * shape[0] * shape[1])
    for name, width, _ in vectors:
        writer.add_tensor_info(name, (width,), np.dtype(np.float32), 4 * width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    # One block of random numbers serves all matrices, from another place each time.
    block = np.random.default_rng(1).normal(0, 0.02, (1 << 24) + 9973).astype(np.float16)
    for index, (_, shape) in enumerate(matrices):
        data = np.resize(np.roll(block, -(index * 104_729 % block.size)), shape)
        writer.write_tensor_data(data)
    for _, width, value in vectors:
        writer.write_tensor_data(np.full(width, value, np.float32))
    writer.close()


def quantize(source: str, path: str, name: str) -> None:
    parameters = llama.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama, f"LLAMA_FTYPE_MOSTLY_{name}")
    parameters.nthread = os.cpu_count() or 1
    if llama.llama_model_quantize(source.encode(), path.encode(), ctypes.byref(parameters)) != 0:
        sys.exit(f"llama.cpp could not quantize {source} to {name}")


class Sequences:
    """A context whose sequence 0 can be brought to any depth; the others are copies of it."""

    def __init__(self, spec: dict) -> None:
        self.chains: int = spec["chains"]
        self.model = llama.llama_model_load_from_file(spec["model"].encode(), llama.llama_model_default_params())
        if not self.model:
            sys.exit(f"llama.cpp could not load {spec['model']}")
        parameters = llama.llama_context_default_params()
        steps = spec["generate"] * (spec["repetitions"] + 1)
        parameters.n_ctx = -(-(max(spec["depths"]) + spec["prompt"] + self.chains * steps + 64) // 256) * 256
        parameters.n_batch = parameters.n_ubatch = 512
        parameters.n_seq_max = self.chains
        parameters.kv_unified = True
        parameters.n_threads = parameters.n_threads_batch = spec["threads"]
        parameters.flash_attn_type = int(spec["flash"])
        self.context = llama.llama_init_from_model(self.model, parameters)
        if not self.context:
            sys.exit("llama.cpp could not make a context")
        self.memory = llama.llama_get_memory(self.context)
        self.vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        self.batch = llama.llama_batch_init(512, 0, 1)

    def decode(self, tokens: list[tuple[int, int, int]], logits_of_all: bool) -> None:
        """Evaluates tokens, each an id, a position and a sequence."""
        batch = self.batch
        batch.n_tokens = len(tokens)
        for index, (token, position, sequence) in enumerate(tokens):
            batch.token[index] = token % self.vocabulary
            batch.pos[index] = position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = sequence
            batch.logits[index] = logits_of_all or index == len(tokens) - 1
        if (code := llama.llama_decode(self.context, batch)) != 0:
            sys.exit(f"llama_decode failed with {code}")
        llama.llama_synchronize(self.context)

    def prefill(self, start: int, count: int) -> None:
        for first in range(start, start + count, 512):
            end = min(first + 512, start + count)
            self.decode([(p * 7919 + 13, p, 0) for p in range(first, end)], logits_of_all=False)

    def shorten(self, depth: int) -> None:
        for sequence in range(self.chains):
            llama.llama_memory_seq_rm(self.memory, sequence, depth if sequence == 0 else -1, -1)

    def fill(self, depth: int, really: bool) -> None:
        """Brings sequence 0 to a depth, by prefill or by a saved state whose cells are repeated."""
        llama.llama_memory_clear(self.memory, False)
        if depth == 0:
            return
        if really or depth <= 64:
            self.prefill(0, depth)
            return
        self.prefill(0, 64)
        state = (ctypes.c_uint8 * llama.llama_state_seq_get_size(self.context, 0))()
        size = llama.llama_state_seq_get_data(self.context, state, len(state), 0)
        deep = repeat_cells(memoryview(state).cast("B")[:size], depth)
        llama.llama_memory_clear(self.memory, False)
        buffer = (ctypes.c_uint8 * len(deep)).from_buffer(deep)
        if llama.llama_state_seq_set_data(self.context, buffer, len(deep), 0) == 0:
            sys.exit("llama.cpp refused the repeated state; use --fill real")


def repeat_cells(state: memoryview, count: int) -> bytearray:
    """The state of a sequence with `count` cells, from one with fewer. Little-endian: magic, sequence, streams, cells;
    of each cell position, 1, sequence; "V is transposed", layers; of each layer type, row bytes, rows, for K, then
    for V, or, transposed, type, element bytes, width, and one row of all cells for each of the width."""
    offset = 0

    def read(form: str) -> tuple:
        nonlocal offset
        values = struct.unpack_from(form, state, offset)
        offset += struct.calcsize(form)
        return values

    def take(length: int) -> bytes:
        nonlocal offset
        offset += length
        return bytes(state[offset - length:offset])

    def repeated(data: bytes, width: int) -> bytes:
        return (data * (count * width // len(data) + 1))[:count * width]

    magic, sequence, streams, cells = read("<IiII")
    out = bytearray(struct.pack("<IiII", magic, sequence, streams, count))
    offset += cells * 12
    for position in range(count):
        out += struct.pack("<iIi", position, 1, sequence)
    transposed, layers = read("<II")
    out += struct.pack("<II", transposed, layers)
    for index in range(2 * layers):
        if index < layers or not transposed:
            kind, width = read("<iQ")
            out += struct.pack("<iQ", kind, width) + repeated(take(cells * width), width)
        else:
            kind, width, rows = read("<iII")
            out += struct.pack("<iII", kind, width, rows)
            for _ in range(rows):
                out += repeated(take(cells * width), width)
    if offset != len(state) or streams != 1:
        sys.exit("this llama.cpp writes states in another form; use --fill real")
    return out


def measure(spec: dict) -> dict:
    sequences = Sequences(spec)
    values: dict[str, float] = {}
    for depth in spec["depths"]:
        sequences.fill(depth, spec["really"])
        if spec["prompt"]:
            rates = []
            for repetition in range(spec["repetitions"] + 1):
                start = time.perf_counter()
                sequences.prefill(depth, spec["prompt"])
                # As in dms, the first run only touches memory for the first time.
                if repetition:
                    rates.append(spec["prompt"] / (time.perf_counter() - start))
                sequences.shorten(depth)
            values[f"prefill dense {depth} 1"] = statistics.median(rates)
        if spec["generate"]:
            values[f"decode dense {depth} {spec['chains']}"] = decoding(sequences, depth, spec)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"values": values, "peak": peak}


def decoding(sequences: Sequences, depth: int, spec: dict) -> float:
    chains, steps = sequences.chains, spec["generate"]
    for chain in range(1, chains):
        llama.llama_memory_seq_cp(sequences.memory, 0, chain, -1, -1)
    position = depth
    rates = []
    for repetition in range(-1, spec["repetitions"]):
        count = min(4, steps) if repetition < 0 else steps
        start = time.perf_counter()
        for _ in range(count):
            sequences.decode([(position * 31 + c * 104_729, position, c) for c in range(chains)], logits_of_all=True)
            position += 1
        if repetition >= 0:
            rates.append(count * chains / (time.perf_counter() - start))
    sequences.shorten(depth)
    return statistics.median(rates)


if __name__ == "__main__":
    llama.llama_log_set(log_errors, None)
    llama.llama_backend_init()
    work, arguments = sys.argv[1], sys.argv[2:]
    if work == "measure":
        print(json.dumps(measure(json.loads(arguments[0]))))
    else:
        {"make": make, "quantize": quantize}[work](*arguments)
