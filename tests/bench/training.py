"""training: an update of the small language model: 8 layers, width 512, 8 heads, vocabulary
8192, AdamW, 8 rows of 256 tokens, f32."""
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


def measure():
    """Tokens/s of the median update after the first two; peak MiB of the process."""
    work = Path(tempfile.mkdtemp(prefix="mm-bench-"))
    try:
        (work / "config.json").write_text(json.dumps(CONFIG))
        ids = [3 + i * 2654435761 % 8189 for i in range(4 * ROWS * TOKENS)]
        head = (f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({4 * ROWS}, {TOKENS}), }}"
                .ljust(117) + "\n").encode()
        (work / "ids.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head +
                                       struct.pack(f"<{len(ids)}q", *ids))
        common.run(f"mm-pack --kind tokens {work}/ids.npy >{work}/ids.mmt")
        _, _, rss = common.run([common.BIN / "mm-train", "lm", "--config", work / "config.json",
                                "-o", work / "out", "--steps", str(UPDATES), "-B", str(ROWS),
                                work / "ids.mmt"])
        lines = (work / "out" / "log.jsonl").read_text().splitlines()
        seconds = [json.loads(line)["seconds"] for line in lines][2:]
        return ROWS * TOKENS / common.median(seconds), rss
    finally:
        shutil.rmtree(work)
