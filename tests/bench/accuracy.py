"""accuracy.py: how far the default arithmetic of mm-llm is from --exact on the same weights.

SmolLM2, this project's pages as the text: the relative error of the logits and the share of
positions whose most probable token is the same, over POSITIONS positions; perplexities."""
import re
import subprocess
import tempfile
from pathlib import Path

import common
import numpy as np

POSITIONS = 1000
TEXT = 16000  # bytes, for the perplexity


def installed():
    return subprocess.run([common.BIN / "mm-tokens", "-m", "smollm2", "--count"], input=b"a",
                          capture_output=True).returncode == 0


def smollm2(dtype):
    """Its file as published (q4_1), or at another precision, made once."""
    if dtype == "q4_1":
        return "smollm2"
    path = common.DIR / f"smollm2-{dtype}.gguf"
    common.DIR.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        subprocess.run([common.BIN / "mm-quantize", "-t", dtype, "-o", path, "smollm2"], check=True)
    return path


def text(path, nbytes):
    pages = b"".join(p.read_bytes() for p in sorted((common.TOP / "man").glob("*.[157]")))
    path.write_bytes(pages[:nbytes].decode(errors="ignore").encode())
    return path


def logits(model, args, ids, work):
    """[POSITIONS, vocabulary] of one pass over the ids."""
    stages, one = work / "stages.mmt", work / "logits.npy"
    common.run([common.BIN / "mm-llm", "-m", model, "-n", "0", *args, "--trace", stages, ids])
    with open(work / "one.mmt", "wb") as f:
        subprocess.run([common.BIN / "mm-cut", "-w", "name=logits", stages], stdout=f, check=True)
    subprocess.run([common.BIN / "mm-unpack", "-o", one, work / "one.mmt"], check=True)
    stages.unlink()
    return np.load(one)


def perplexity(model, args, path):
    out = subprocess.run([common.BIN / "mm-llm", "-m", model, *args, "--perplexity", path],
                         check=True, text=True, capture_output=True).stdout
    return float(re.search(r"perplexity ([\d.]+)", out)[1])


def measure(dtype):
    """The ratio of the perplexities, and what else is known of this precision."""
    model = smollm2(dtype)
    with tempfile.TemporaryDirectory(dir=common.DIR) as name:
        work = Path(name)
        ids = work / "ids.npy"
        out = subprocess.run([common.BIN / "mm-tokens", "-m", "smollm2",
                              text(work / "text", 4 * POSITIONS)], check=True, text=True,
                             capture_output=True).stdout
        np.save(ids, np.array(out.split()[:POSITIONS], dtype=np.int32))
        (work / "ids.mmt").write_bytes(subprocess.run(
            [common.BIN / "mm-pack", "--kind", "tokens", ids], check=True,
            capture_output=True).stdout)
        fast, exact = (logits(model, a, work / "ids.mmt", work) for a in ([], ["--exact"]))
        error = np.linalg.norm(fast - exact) / np.linalg.norm(exact)
        top1 = np.mean(fast.argmax(1) == exact.argmax(1))
        sample = text(work / "text", TEXT)
        p, q = (perplexity(model, a, sample) for a in ([], ["--exact"]))
    return p / q, {"logits_error": round(float(error), 6), "top1": round(float(top1), 4),
                   "positions": len(fast), "perplexity": p, "perplexity_exact": q}
