#!/usr/bin/env python3
"""Compares dms with llama.cpp (and, if asked, PyTorch) on this machine, and prints the ratios as a Markdown table.

    swift build -c release --product dms
    Benchmarks/peers/run.py --quick          # about 15 minutes after the first run's installation
    Benchmarks/peers/run.py                  # the whole table, three rounds; a stopped run goes on where it was
    Benchmarks/peers/run.py --rows 'decode'  # only the rows whose name matches; --list names them all
    Benchmarks/peers/run.py --report         # only the table, of what was measured before

Needs Python 3.10 with venv, a C++ compiler (apt-get install build-essential python3-venv) and, once, PyPI: the work
folder (--work, 12 GB) gets a virtual environment with llama-cpp-python built for this processor, and GGUF files of
the shape with random weights, quantized by llama.cpp's own quantizer with its defaults. --torch installs torch
too, some gigabytes more.

The two take turns: peer, dms, peer, dms. A measurement is one process; the table shows the median of the rounds with
the lowest and the highest. It waits for at most two minutes until other processes are quiet. Each is appended to
measurements.jsonl with the versions of what it measured, and not repeated while they stay the same, unless others
disturbed it (--fresh repeats all). llama.cpp runs with its defaults (mapped files, repacked weights, an F16 cache,
batches of 512) and with or without flash attention, whichever turns out faster for each kind of work.

Deep caches are not computed but made: dms fills them arbitrarily; of llama.cpp, the saved state of 64 tokens is
repeated to the depth and loaded. --fill real computes llama.cpp's instead, which takes minutes for each.
"""

import argparse
import contextlib
import dataclasses
import datetime
import functools
import hashlib
import json
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

LLAMA_VERSION, LLAMA_COMMIT, GGUF_VERSION = "0.3.36", "0c1e57098", "0.19.0"
HERE = pathlib.Path(__file__).resolve().parent
PEER_FORMATS = ("Q4_0", "Q8_0", "Q4_K_M", "F16", "BF16")
DMS_FORMATS = ("q4", "q8", "bf16")
QUIET = 0.1  # share of the processors' time; with more of it taken by others, a measurement is tried three times


def stop(message: str, code: int = 2) -> NoReturn:
    print(f"run.py: {message}", file=sys.stderr)
    sys.exit(code)


def note(message: str) -> None:
    print(f"{datetime.datetime.now():%H:%M:%S} {message}", file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True)
class Job:
    """What one process measures."""

    side: str
    weights: str
    depths: tuple[int, ...] = (0,)
    prompt: int = 0
    generate: int = 0
    chains: int = 1
    policies: str = "dense"
    busy: bool = False

    @property
    def repetitions(self) -> int:
        return 3 if self.generate and self.chains == 1 else 1

    @property
    def kind(self) -> str:
        return "prefill" if self.prompt else "decode" if self.chains == 1 else "chains"


@dataclasses.dataclass(frozen=True)
class Value:
    """A number of a job's measurements, perhaps as a share of another one's."""

    job: Job
    key: str
    over: "Value | None" = None


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    title: str
    peer: list[Value]
    dms: list[Value]  # of several, the best counts
    target: float
    kind: str = "ratio"  # or "share" of dms alone, or "memory" of dms alone, in MB
    quick: bool = False


def all_rows(best_peer: str, best_dms: str) -> list[Row]:
    """- best_peer, best_dms: the formats that prefill fastest."""

    def decode(side: str, weights: str, **more: object) -> Job:
        return Job(side, weights, generate=16, **more)  # type: ignore[arg-type]

    def prefill(side: str, weights: str, **more: object) -> Job:
        return Job(side, weights, prompt=512, **more)  # type: ignore[arg-type]

    depths = (0, 4096, 16384)
    peer4, peer8 = decode("llama", "Q4_0", depths=depths), decode("llama", "Q8_0")
    dms4, dms8 = decode("dms", "q4", depths=depths, policies="dense,dms"), decode("dms", "q8")
    peer16 = decode("llama", "Q8_0", depths=(4096,), chains=16)
    dms16 = decode("dms", "q8", depths=(4096,), chains=16, policies="dense,dms")
    peer_deep = prefill("llama", best_peer, depths=(8192,))
    dms_deep = prefill("dms", best_dms, depths=(8192,), policies="dense,dms")
    start, chains = "decode dense 0 1", "decode {} 4096 16"
    peer_prefill = [Value(prefill("llama", name), "prefill dense 0 1") for name in PEER_FORMATS]
    dms_prefill = [Value(prefill("dms", name), "prefill dense 0 1") for name in DMS_FORMATS]
    peer_busy, dms_busy = decode("llama", "Q4_0", busy=True), decode("dms", "q4", busy=True)

    def deep(name: str, title: str, depth: int, policy: str, target: float) -> Row:
        return Row(name, title, [Value(peer4, f"decode dense {depth} 1")], [Value(dms4, f"decode {policy} {depth} 1")],
                   target, quick=True)

    same_file = [
        Row(f"gguf-{work}-{name}", f"{title}, the same {name} file", [Value(job("llama", name), key)],
            [Value(job("dms", f"{name}.gguf"), key)], target)
        for name in ("Q4_0", "Q8_0", "Q4_K_M")
        for work, title, job, key, target in (("decode", "decode", decode, start, 1.2),
                                              ("prefill", "prefill of 512", prefill, "prefill dense 0 1", 1.8))
    ]
    return [
        Row("decode-0-q8", "decode, q8 / Q8_0", [Value(peer8, start)], [Value(dms8, start)], 1.2, quick=True),
        deep("decode-0-q4", "decode, q4 / Q4_0", 0, "dense", 1.0),
        deep("decode-4096-q4", "decode at 4,096, q4 / Q4_0", 4096, "dense", 1.4),
        deep("decode-16384-q4", "decode at 16,384, q4 / Q4_0", 16384, "dense", 2.5),
        deep("decode-16384-q4-dms", "decode at 16,384, q4 / Q4_0, DMS ratio 8", 16384, "dms", 4),
        Row("chains-4096-q8", "16 chains at 4,096, q8 / Q8_0", [Value(peer16, chains.format("dense"))],
            [Value(dms16, chains.format("dense"))], 1.5, quick=True),
        Row("chains-4096-q8-dms", "16 chains at 4,096, q8 / Q8_0, DMS ratio 8", [Value(peer16, chains.format("dense"))],
            [Value(dms16, chains.format("dms"))], 3, quick=True),
        Row("prefill-0", "prefill of 512, best of each", peer_prefill, dms_prefill, 1.8, quick=True),
        Row("prefill-8192", "prefill of 512 at 8,192, best of each", [Value(peer_deep, "prefill dense 8192 1")],
            [Value(dms_deep, "prefill dense 8192 1")], 2),
        Row("prefill-8192-dms", "prefill of 512 at 8,192, best of each, DMS ratio 8",
            [Value(peer_deep, "prefill dense 8192 1")], [Value(dms_deep, "prefill dms 8192 1")], 4),
        Row("torch-prefill-0", "prefill of 512, dms's best / PyTorch BF16",
            [Value(prefill("torch", "BF16"), "prefill dense 0 1")], dms_prefill, 1.3),
        Row("busy", "decode beside a busy loop on one processor, share of the quiet speed, q4 / Q4_0",
            [Value(peer_busy, start, Value(peer4, start))], [Value(dms_busy, start, Value(dms4, start))], 0.45, "share",
            quick=True),
        Row("bandwidth", "share of the measured memory bandwidth, decode, q8", [], [Value(dms8, "share " + start)],
            0.85, "share", quick=True),
        *same_file,
        Row("memory", "peak resident beyond weights and KV, MB, prefill of 512, q4 / Q4_0",
            [Value(peer_prefill[0].job, "beyond")], [Value(dms_prefill[0].job, "beyond")], 200, "memory", quick=True),
    ]


def run(command: list[str], log: pathlib.Path, **options: object) -> str:
    """Standard output of a command that succeeds; the rest goes to a log file."""
    with open(log, "a", encoding="utf-8") as errors:
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=errors, text=True, **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        stop(f"{pathlib.Path(command[0]).name} failed, see {log}: {lines[-1] if lines else ''}", 1)
    return done.stdout


class Bench:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.work = pathlib.Path(options.work).expanduser().resolve()
        self.work.mkdir(parents=True, exist_ok=True)
        self.log = self.work / "log.txt"
        self.store = self.work / "measurements.jsonl"
        self.python = str(self.work / "venv/bin/python")
        self.shape = pathlib.Path(options.shape).resolve()
        if not self.shape.is_file():
            stop(f"no configuration {self.shape}; give --shape CONFIG.json")
        self.config = json.loads(self.shape.read_text(encoding="utf-8"))
        self.shape_id = hashlib.sha256(self.shape.read_bytes()).hexdigest()[:8]
        self.models = self.work / f"models-{self.shape_id}"
        self.dms = pathlib.Path(options.dms).resolve()
        if not self.dms.is_file():
            stop(f"no dms at {self.dms}; build it with swift build -c release --product dms, or give --dms PATH")
        self.dms_version = hashlib.sha256(self.dms.read_bytes()).hexdigest()[:12]
        self.records: dict = {}
        self.tried: set = set()
        if options.fresh:
            self.store.unlink(missing_ok=True)
            (self.work / "flash.json").unlink(missing_ok=True)
        elif self.store.exists():
            for line in self.store.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                self.records[record["key"]] = record

    # What has to be there first.

    def has(self, statement: str) -> bool:
        return subprocess.run([self.python, "-c", statement], check=False, capture_output=True).returncode == 0

    def install(self) -> None:
        if not os.path.exists(self.python):
            run([sys.executable, "-m", "venv", str(self.work / "venv")], self.log)
        pip = [self.python, "-m", "pip", "install", "--disable-pip-version-check", "-q"]
        if not self.has(f"import gguf, numpy, llama_cpp; assert llama_cpp.__version__ == '{LLAMA_VERSION}'"):
            if not (shutil.which("g++") or shutil.which("clang++")):
                stop("no C++ compiler; apt-get install build-essential")
            note("building llama.cpp, some 10 minutes; " + str(self.log))
            environment = {**os.environ, "CMAKE_ARGS": "-DGGML_NATIVE=ON"}
            environment.setdefault("CMAKE_BUILD_PARALLEL_LEVEL", str(os.cpu_count()))
            packages = [f"llama-cpp-python=={LLAMA_VERSION}", f"gguf=={GGUF_VERSION}", "numpy"]
            run([*pip, "--no-binary", "llama-cpp-python", *packages], self.log, env=environment)
        if self.options.torch and not self.has("import torch"):
            note("installing torch")
            run([*pip, "torch"], self.log)

    def model(self, name: str) -> str:
        """The GGUF file of a format, made if it is not there."""
        path = self.models / f"{name}.gguf"
        if not path.exists():
            self.models.mkdir(exist_ok=True)
            note(f"making {path}")
            partial = path.with_suffix(".partial")
            work = ["make", str(self.shape)] if name == "F16" else ["quantize", self.model("F16")]
            rest = [] if name == "F16" else [name]
            run([self.python, str(HERE / "llama_worker.py"), *work, str(partial), *rest], self.log)
            partial.rename(path)
        return str(path)

    def flash(self, kind: str) -> bool:
        """Whether llama.cpp is faster with flash attention at depth 4,096, which is measured once."""
        path = self.work / "flash.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        name = f"{kind} {self.shape_id} {self.options.threads}"
        if known.get(name, {}).get("others", 1) > QUIET and name not in self.tried:
            self.tried.add(name)
            job = {"decode": Job("llama", "Q4_0", (4096,), generate=16), "prefill": Job("llama", "Q4_0", (4096,), 512),
                   "chains": Job("llama", "Q8_0", (4096,), generate=4, chains=16)}[kind]
            measured = [undisturbed(functools.partial(self.llama, job, flash)) for flash in (False, True)]
            speeds = [next(iter(record["values"].values())) for record in measured]
            known[name] = {"off": speeds[0], "on": speeds[1], "others": max(record["others"] for record in measured)}
            note(f"llama.cpp's {kind} at 4,096: {speeds[0]:.1f} tokens/s, with flash attention {speeds[1]:.1f}")
            path.write_text(json.dumps(known))
        return known[name]["on"] >= known[name]["off"]

    # The measurements.

    def llama(self, job: Job, flash: bool | None = None) -> dict:
        path = self.model(job.weights)
        spec = {
            "model": path, "threads": self.options.threads, "depths": job.depths, "chains": job.chains,
            "prompt": job.prompt, "generate": job.generate, "repetitions": job.repetitions,
            "flash": self.flash(job.kind) if flash is None else flash, "really": self.options.fill == "real",
        }
        result = json.loads(run([self.python, str(HERE / "llama_worker.py"), "measure", json.dumps(spec)], self.log))
        config = self.config
        kv_width = 2 * config["num_key_value_heads"] * config["hidden_size"] // config["num_attention_heads"]
        kv = 2 * kv_width * config["num_hidden_layers"] * (job.depths[-1] + job.prompt)
        result["values"]["beyond"] = (result["peak"] - os.path.getsize(path) - kv) / 1e6
        return result

    def torch(self, job: Job) -> dict:
        spec = {"config": str(self.shape), "threads": self.options.threads, "prompt": job.prompt,
                "repetitions": job.repetitions}
        return json.loads(run([self.python, str(HERE / "torch_worker.py"), json.dumps(spec)], self.log))

    def bench(self, job: Job) -> dict:
        folder = self.models / "shape"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.shape, folder / "config.json")
        is_file = job.weights.endswith(".gguf")
        model = ([self.model(job.weights.removesuffix(".gguf"))] if is_file
                 else ["--shape", str(folder), "--weights", job.weights])
        command = [str(self.dms), "bench", "--json", *model, "--depth", ",".join(map(str, job.depths)),
                   "--chains", str(job.chains), "--policy", job.policies, "--prompt", str(job.prompt),
                   "--generate", str(job.generate), "--repetitions", str(job.repetitions), "--threads", str(self.options.threads)]
        if "dms" in job.policies:
            command += ["--simulated-ratio", "8"]
        # Such settings force OpenBLAS's kernels for another processor, block sizes or threads upon dms.
        crippling = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS")
        environment = {name: value for name, value in os.environ.items() if name not in crippling}
        answer = json.loads(run(command, self.log, env=environment))
        values = {}
        for result in answer["results"]:
            name = "{work} {policy} {depth} {chains}".format(**result)
            values[name] = result["tokens_per_second"]["median"]
            values["share " + name] = result["bandwidth_share"]
        known = answer["weight_bytes"] + answer["results"][-1]["kv_bytes"]
        values["beyond"] = (answer["peak_resident_bytes"] - known) / 1e6
        return {"values": values, "peak": answer["peak_resident_bytes"],
                "bandwidth": answer["bandwidth_bytes_per_second"]}

    def key(self, job: Job, round: int) -> str:
        versions = {"dms": self.dms_version, "llama": f"{LLAMA_VERSION} {self.options.fill}", "torch": "torch"}
        return json.dumps([*dataclasses.astuple(job), round, versions[job.side], self.shape_id, self.options.threads])

    def measure(self, row: Row, job: Job, round: int) -> None:
        key = self.key(job, round)
        if key in self.tried:
            return
        self.tried.add(key)
        if job.side == "llama":
            self.model(job.weights)  # so that making it is not measured
        flash = self.flash(job.kind) if job.side == "llama" else None
        old = self.records.get(key)
        if old and old["others"] <= QUIET and old["flash"] == flash:
            return
        measure = {"llama": self.llama, "torch": self.torch, "dms": self.bench}[job.side]
        record = undisturbed(functools.partial(measure, job), job.busy)
        record.update(key=key, row=row.name, side=job.side, round=round, flash=flash)
        self.records[key] = record
        with open(self.store, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        shown = ", ".join(f"{name} {value:.2f}" for name, value in record["values"].items() if "share" not in name)
        note(f"{row.name} {job.side} {job.weights} round {round + 1}: {shown} "
             f"({record['seconds']:.0f} s, others {record['others']:.0%})")

    def samples(self, value: Value) -> list[float]:
        found = []
        for round in range(100):
            record = self.records.get(self.key(value.job, round))
            over = self.records.get(self.key(value.over.job, round)) if value.over else None
            if record and value.over and over:
                found.append(record["values"][value.key] / over["values"][value.over.key])
            elif record and not value.over:
                found.append(record["values"][value.key])
        return found

    def bandwidth(self) -> float:
        """The best that dms ever measured here, in bytes per second."""
        return max((record.get("bandwidth", 0) for record in self.records.values()), default=0)

    def best(self, values: list[Value]) -> tuple[str, list[float]]:
        """The format with the best median, and its samples."""
        measured = [(value.job.weights, self.samples(value)) for value in values]
        return max((entry for entry in measured if entry[1]), key=lambda entry: statistics.median(entry[1]),
                   default=(values[0].job.weights if values else "", []))

    def rows(self) -> list[Row]:
        prefill = next(row for row in all_rows("Q4_0", "q4") if row.name == "prefill-0")
        rows = all_rows(self.best(prefill.peer)[0], self.best(prefill.dms)[0])
        return [row for row in rows if re.search(self.options.rows, row.name)
                and (self.options.torch or not row.name.startswith("torch")) and (row.quick or not self.options.quick)]

    def measure_all(self) -> None:
        rounds = self.options.rounds or (2 if self.options.quick else 3)
        for name in [row.name for row in self.rows()]:
            row = next(row for row in self.rows() if row.name == name)  # anew, as the best formats become known
            for round in range(rounds):
                for index in range(max(len(row.peer), len(row.dms))):
                    for value in [*row.peer[index:index + 1], *row.dms[index:index + 1]]:
                        if value.over:
                            self.measure(row, value.over.job, round)
                        self.measure(row, value.job, round)

    def report(self) -> str:
        used = {self.key(v.job, r) for row in self.rows() for v in [*row.peer, *row.dms] for r in range(100)}
        records = [record for key, record in self.records.items() if key in used]
        text = (f"{datetime.date.today()}, {processor()}, {os.cpu_count()} processors, {self.options.threads} threads, "
                f"memory {self.bandwidth() / 1e9:.1f} GB/s; "
                f"llama.cpp {LLAMA_COMMIT} (llama-cpp-python {LLAMA_VERSION}), "
                f"dms {self.dms_version}; {self.shape.stem}, tokens/s\n\n"
                "| work | peer | dms | ratio | target | met |\n|---|---|---|---|---|---|\n")
        for row in self.rows():
            (peer_name, peer), (dms_name, dms) = self.best(row.peer), self.best(row.dms)
            ratio, met = "", ""
            if dms and (peer or row.kind != "ratio"):
                quotient = statistics.median(dms) / statistics.median(peer) if peer else 0
                number = quotient if row.kind == "ratio" else statistics.median(dms)
                ratio = f"{quotient:.2f}" if peer else ""
                met = "yes" if (number <= row.target if row.kind == "memory" else number >= row.target) else "no"
            target = {"ratio": f"{row.target:g}", "share": f"dms {row.target:.0%}", "memory": f"dms ≤ {row.target:g}"}
            of_several = len(row.dms) > 1
            cells = [row.title, spread(row, peer, peer_name if of_several else ""),
                     spread(row, dms, dms_name if of_several else ""), ratio, target[row.kind], met]
            text += f"| {' | '.join(cells)} |\n"
        if (others := [record["others"] for record in records]) and max(others) > QUIET:
            text += (f"\nOther processes took {statistics.mean(others):.0%} of the processors' time during the "
                     f"measurements, at worst {max(others):.0%}: the numbers are disturbed.\n")
        if (path := self.work / "flash.json").exists():
            kinds = [f"{name.split()[0]} {'on' if of['on'] >= of['off'] else 'off'} ({of['on']:.1f} to {of['off']:.1f})"
                     for name, of in json.loads(path.read_text()).items()
                     if name.split()[1:] == [self.shape_id, str(self.options.threads)]]
            text += f"\nllama.cpp's flash attention, by its tokens/s at 4,096 with to without: {', '.join(kinds)}.\n"
        return text


def spread(row: Row, samples: list[float], name: str) -> str:
    if not samples:
        return "–"
    form: Callable[[float], str] = "{:.0%}".format if row.kind == "share" else "{:.1f}".format
    text = f"{form(statistics.median(samples))} ({form(min(samples))}–{form(max(samples))})"
    return f"{text} {name}".strip()


def processor() -> str:
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    name = re.search(r"^(?:model name|Model)\s*: (.*)$", text, re.MULTILINE)
    return name.group(1).strip() if name else os.uname().machine


def others_share() -> Callable[[], float]:
    """Gives, once called, the share of all processors' time since now that went to what this script did not start."""

    def now() -> tuple[float, float]:
        fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        ticks = os.sysconf("SC_CLK_TCK")
        own = resource.getrusage(resource.RUSAGE_CHILDREN)
        return sum(fields) / ticks, (sum(fields) - fields[3] - fields[4]) / ticks - own.ru_utime - own.ru_stime

    total, busy = now()
    return lambda: max(0.0, (now()[1] - busy) / max(1e-9, now()[0] - total))


def undisturbed(measure: Callable[[], dict], busy: bool = False) -> dict:
    """Of up to three measurements the one that others disturbed least; each waits for at most two minutes for quiet."""
    records: list[dict] = []
    while not records or (records[-1]["others"] > QUIET and len(records) < 3):
        for _ in range(60):
            others = others_share()
            time.sleep(2)
            if others() < QUIET:
                break
        others, start = others_share(), time.monotonic()
        with busy_loop() if busy else contextlib.nullcontext():
            record = measure()
        records.append({**record, "others": others(), "seconds": time.monotonic() - start,
                        "date": datetime.datetime.now().isoformat(timespec="seconds")})
    return min(records, key=lambda record: record["others"])


@contextlib.contextmanager
def busy_loop() -> Iterator[None]:
    """Keeps the first processor busy."""
    first = min(os.sched_getaffinity(0))
    loop = subprocess.Popen([sys.executable, "-c", f"import os\nos.sched_setaffinity(0, [{first}])\nwhile True: pass"])
    try:
        yield
    finally:
        loop.kill()
        loop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dms", default=HERE / "../../.build/release/dms", help="the command to measure")
    parser.add_argument("--shape", default=HERE / "../shapes/DeepSeek-R1-Distill-Qwen-1.5B.json",
                        help="config.json of a Qwen2 model")
    parser.add_argument("--work", default="~/.cache/swift-dms-peers", help="folder for all that is installed and made")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, help="default: 3, or 2 with --quick")
    parser.add_argument("--rows", default="", help="a regular expression")
    parser.add_argument("--quick", action="store_true", help="the rows that matter most, two rounds")
    parser.add_argument("--fill", choices=("forged", "real"), default="forged", help="how llama.cpp's cache gets deep")
    parser.add_argument("--torch", action="store_true", help="compare with PyTorch, too")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    parser.add_argument("--list", action="store_true", help="name the rows")
    options = parser.parse_args()
    bench = Bench(options)
    if options.list:
        print("\n".join(row.name for row in bench.rows()))
        return
    if not options.report:
        bench.install()
        bench.measure_all()
    print(bench.report())


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        stop("stopped; run it again to go on", 130)
