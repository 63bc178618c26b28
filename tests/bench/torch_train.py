#!/usr/bin/env python3
"""torch_train.py [f32|bf16]: updates/s of PyTorch on the update of training.py, the median after
the first two, bf16 by autocast; then the process's peak MiB."""
import os
import resource
import statistics
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.set_num_threads(os.cpu_count())
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=8192, hidden_size=512, intermediate_size=1376, num_hidden_layers=8,
    num_attention_heads=8, num_key_value_heads=8, max_position_embeddings=256,
    rms_norm_eps=1e-5, tie_word_embeddings=False))
optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
ids = torch.randint(3, 8192, (8, 256))
seconds = []
for _ in range(6):
    start = time.monotonic()
    with torch.autocast("cpu", torch.bfloat16, enabled=sys.argv[1:] == ["bf16"]):
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    seconds.append(time.monotonic() - start)
print(f"{1 / statistics.median(seconds[2:]):.4f}")
print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB", file=sys.stderr)
