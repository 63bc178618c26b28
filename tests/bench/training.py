"""training: an update of the small language model: 8 layers, width 512, 8 heads, vocabulary
8192, AdamW, 8 rows of 256 tokens, f32 or --bf16; by one process, or by several over MPI."""
import json
import shutil
import struct
import tempfile
from pathlib import Path

import common

CONFIG = {"model_type": "llama", "hidden_size": 512, "intermediate_size": 1376,
          "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 8,
          "vocab_size": 8192, "max_position_embeddings": 256, "rms_norm_eps": 1e-5}
ROWS, TOKENS, UPDATES = 8, 256, 6
MATRICES = 8 * (4 * 512 * 512 + 3 * 512 * 1376) + 8192 * 512
# forward, and in backward twice as much; attention sees half of its square
OPS = 6 * MATRICES * ROWS * TOKENS + 6 * 8 * ROWS * TOKENS * TOKENS * 512
# the optimiser reads weight, gradient and moments and writes all but the gradient
BYTES = 7 * 4 * (MATRICES + 8192 * 512)


MPI = common.TOP / "build/mpi/bin/mm-train"


def command(dtype, processes):
    """How mm-train is called, up to its data."""
    if not processes:
        return [common.BIN / "mm-train", "lm", "-B", str(ROWS),
                *(["--bf16"] if dtype == "bf16" else [])]
    return ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(processes), MPI, "lm",
            "-j", "1", "-B", str(ROWS // 2), "--accumulate", "2"]


def measure(dtype="f32", processes=0):
    """Seconds of the median update after the first two; peak MiB of the (largest) process."""
    work = Path(tempfile.mkdtemp(prefix="mm-bench-"))
    try:
        (work / "config.json").write_text(json.dumps(CONFIG))
        ids = [3 + i * 2654435761 % 8189 for i in range(4 * ROWS * TOKENS)]
        head = (f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({4 * ROWS}, {TOKENS}), }}"
                .ljust(117) + "\n").encode()
        (work / "ids.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head +
                                       struct.pack(f"<{len(ids)}q", *ids))
        common.run(f"mm-pack --kind tokens {work}/ids.npy >{work}/ids.mmt")
        _, _, rss = common.run([*command(dtype, processes), "--config", work / "config.json",
                                "-o", work / "out", "--steps", str(UPDATES), work / "ids.mmt"])
        lines = (work / "out" / "log.jsonl").read_text().splitlines()
        seconds = [json.loads(line)["seconds"] for line in lines][2:]
        return common.median(seconds), rss
    finally:
        shutil.rmtree(work)
