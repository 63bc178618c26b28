"""kernels.py: what bench_kernels and bench_stream print, as rows beside the limits."""
import re
import subprocess

import common

WMAT = re.compile(r"wmat (\w+) +1 row +([\d.]+) GB/s, exact +([\d.]+);.*512 rows +([\d.]+) GFLOP/s,"
                  r" exact +([\d.]+)")
ATTENTION = re.compile(r"attention (\S+) +(\S+) +(\S+) +heads (\w+) +[\d.]+ ms +([\d.]+) GFLOP/s"
                       r" +([\d.]+) GB/s")
GEMM = re.compile(r"gemm M (\d+) +([\d.]+) GFLOP/s, OpenBLAS +([\d.]+)")
STREAM = re.compile(r"raw pipe ([\d.]+) GB/s, stream ([\d.]+) GB/s")


def row(name, value, unit, bound, arithmetic="f32"):
    return {"name": f"kernel/{name}", "value": float(value), "unit": unit, "bound": round(bound, 4),
            "ratio": round(float(value) / bound, 4), "arithmetic": arithmetic, "rss": 0}


def parse(text, limits):
    """All lines that say how fast a kernel is."""
    best = limits.best
    for t, fast, exact, many, many_exact in WMAT.findall(text):
        peak = common.peak_of(t)
        name = common.ARITHMETIC[peak]
        yield row(f"wmat/{t}/1", fast, "GB/s", best["read"], name)
        yield row(f"wmat/{t}/1/exact", exact, "GB/s", best["read"])
        yield row(f"wmat/{t}/512", many, "GFLOP/s", limits.ops(peak), name)
        yield row(f"wmat/{t}/512/exact", many_exact, "GFLOP/s", best["f32"])
    for what, shape, heads, t, ops, nbytes in ATTENTION.findall(text):
        name = f"attention/{what}/{shape}/{heads.replace('/', ':')}/{t}"
        if what == "decode":
            yield row(name, nbytes, "GB/s", best["read"])
        else:
            yield row(name, ops, "GFLOP/s", best["f32"])
    for m, own, blas in GEMM.findall(text):
        yield row(f"gemm/{m}", own, "GFLOP/s", best["f32"] / common.THREADS)
    for raw, stream in STREAM.findall(text):
        yield row("stream", stream, "GB/s", float(raw), "none")


def measure(limits):
    text = "".join(subprocess.run([common.TESTS / name], check=True, text=True,
                                  capture_output=True).stdout
                   for name in ("bench_kernels", "bench_stream"))
    return text, list(parse(text, limits))
