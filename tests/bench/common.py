"""common.py: what the benchmarks share: models of real shapes, the machine's limits,
one timed run of a program, and what such a run would cost at those limits."""
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

TOP = Path(__file__).resolve().parents[2]
BIN = TOP / "build/bin"
TESTS = TOP / "build/release/tests/bench"
DIR = TOP / "build/bench"
PICTURE = TOP / "tests/golden/image/clip-224/picture.png"

# dim, ffn, layers, heads, kv heads, vocabulary: make_model.c's
SHAPES = {"135m": (576, 1536, 30, 9, 3, 49152), "1.1b": (2048, 5632, 22, 32, 4, 32000),
          "7b": (4096, 11008, 32, 32, 32, 32000)}
BYTES = {"f32": 4, "f16": 2, "bf16": 2, "q4_0": 18 / 32, "q4_1": 20 / 32, "q5_0": 22 / 32,
         "q5_1": 24 / 32, "q8_0": 34 / 32, "q2_k": 84 / 256, "q3_k": 110 / 256, "q4_k": 144 / 256,
         "q5_k": 176 / 256, "q6_k": 210 / 256}
PLAIN = ("f32", "f16", "bf16")
ARITHMETIC = {"int8": "int8 activations", "bf16": "f32", "f32": "f32"} # by limit
THREADS = os.cpu_count()


def die(text):
    sys.exit(f"bench: {text}")


def warm(path):
    """Its pages are in the cache afterwards."""
    with open(path, "rb") as f:
        while f.read(1 << 24):
            pass
    return path


def model(shape, dtype):
    """The file of a shape and type, made once, and warm."""
    path = DIR / f"{shape}-{dtype}.gguf"
    DIR.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        subprocess.run([TESTS / "make_model", shape, dtype, path], check=True)
    return warm(path)


def packed(shape, dtype):
    """The same weights in a file that is mapped and used as it lies."""
    path = DIR / f"{shape}-{dtype}-packed.gguf"
    if not path.exists():
        subprocess.run([BIN / "mm-quantize", "--pack", "-o", path, model(shape, dtype)], check=True)
    return warm(path)


def prompts(n, items=1, shared=0):
    """A stream of items, each n token ids, the first `shared` of them the same in all."""
    path = DIR / f"prompt-{n}x{items}-{shared}.mmt"
    if not path.exists():
        DIR.mkdir(parents=True, exist_ok=True)
        files = []
        for i in range(items):
            ids = np.arange(n) * 7919 + np.where(np.arange(n) < shared, 0, i)
            files.append(DIR / f"ids-{n}-{i}.npy")
            np.save(files[-1], (ids % 31000 + 5).astype(np.int32))
        with open(path, "wb") as out:
            subprocess.run([BIN / "mm-pack", "--kind", "tokens", *files], stdout=out, check=True)
        for f in files:
            f.unlink()
    return path


def run(argv, stdin=None, env=None):
    """Runs a program or a shell command line: standard error, wall seconds, peak MiB."""
    shell = isinstance(argv, str)
    start = time.monotonic()
    p = subprocess.Popen(argv, shell=shell, stdin=stdin or subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                         env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **(env or {})})
    err = p.stderr.read()
    _, status, usage = os.wait4(p.pid, 0)
    wall = time.monotonic() - start
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode:
        die(f"{argv}: status {p.returncode}\n{err}")
    return err, wall, usage.ru_maxrss / 1024


def llm(path, prompt=8, tokens=64, items=1, args=(), env=None):
    """mm-llm on random prompts: tokens/s of prompt and of decoding, seconds in all and of
    opening and packing the model, peak MiB."""
    err, wall, rss = run([BIN / "mm-llm", "-v", "-m", path, "-n", str(tokens), "--ignore-eos",
                          "-t", "0", "--json", "-B", str(items), *args, prompts(prompt, items)],
                         env=env)
    pre = re.search(r"prefill: (\d+) positions in ([\d.]+) ms", err)
    dec = re.search(r"decode: (\d+) tokens in ([\d.]+) ms", err)
    if not pre or not dec:
        die(f"mm-llm -v: no times in\n{err}")
    rate = [int(m[1]) / max(float(m[2]), 1e-3) * 1e3 for m in (pre, dec)]
    ready = sum(float(ms) / 1e3 for ms in re.findall(r"time (?:open|\w+\.pack) ([\d.]+) ms", err))
    return {"prefill": rate[0], "decode": rate[1], "wall": wall, "ready": ready, "rss": rss}


def smollm2(tokens, env=None):
    """The process from start to end, with its tokenizer: tokens/s, peak MiB."""
    _, wall, rss = run([BIN / "mm-llm", "-m", "smollm2", "-p", "Once upon a time", "-n",
                        str(tokens), "--ignore-eos"], env=env)
    return tokens / wall, rss


class Limits:
    """Best of the probes so far: GFLOP/s of f32, bf16, int8 products, GB/s of reading."""

    def __init__(self):
        self.best, self.probes = {}, 0

    def probe(self, env=None):
        self.probes += 1
        err = subprocess.run([TESTS / "bench_kernels", "--limits"], check=True, text=True,
                             capture_output=True, env={**os.environ, **(env or {})}).stdout
        for m in re.finditer(r"limit (\w+) +([\d.]+) G", err):
            self.best[m[1]] = max(float(m[2]), self.best.get(m[1], 0))

    def ops(self, peak):
        """GFLOP/s; plain types may be computed in f32 where that is faster."""
        return max(self.best["f32"], self.best.get(peak, 0))

    def seconds(self, nbytes, ops, peak):
        """The least time for reading so much and computing so much, side by side."""
        return max(nbytes / self.best["read"], ops / self.ops(peak)) * 1e-9


def llm_cost(shape, dtype, rows, sequences, context=0):
    """Bytes read and operations done for rows positions of sequences, each of which
    already holds context of them: weights once, the f16 cache once a sequence."""
    dim, ffn, layers, heads, kv_heads, vocab = SHAPES[shape]
    kv = dim // heads * kv_heads
    body = layers * (2 * dim * dim + 2 * kv * dim + 3 * dim * ffn)
    nbytes = (body + vocab * dim) * BYTES[dtype] + sequences * context * layers * kv * 2 * 2
    each = rows // sequences
    seen = context + (each + 1) / 2
    ops = 2 * (rows * body + sequences * vocab * dim) + 4 * rows * seen * dim * layers
    return nbytes, ops


def vit_cost(pictures, nbytes_each):
    """ViT-L/14-336 without its last layer, and LLaVA 1.5's projector."""
    n, d, f, layers, out = 577, 1024, 4096, 23, 4096
    params = layers * (4 * d * d + 2 * d * f)
    ops = 2 * n * params + 4 * layers * n * n * d + 2 * 576 * (588 * d + d * out + out * out)
    return (params + d * out + out * out) * nbytes_each, pictures * ops


def peak_of(dtype, exact=False):
    """The limit that products with weights of this type can reach at best."""
    return "f32" if exact or dtype == "f32" else "bf16" if dtype in PLAIN else "int8"


def median(values):
    v = sorted(values)
    return (v[(len(v) - 1) // 2] + v[len(v) // 2]) / 2
