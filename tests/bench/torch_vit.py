#!/usr/bin/env python3
"""torch_vit.py f32|bf16 [pictures]: pictures/s of PyTorch on ViT-L/14-336 (23 layers, as LLaVA
1.5 uses) and its projector, random weights; the best of three forward passes, nothing else
counted."""
import os
import sys
import time

import torch
from transformers import CLIPVisionConfig, CLIPVisionModel

dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[sys.argv[1]]
n = int(sys.argv[2]) if len(sys.argv) > 2 else 1
torch.set_num_threads(os.cpu_count())
config = CLIPVisionConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23,
                          num_attention_heads=16, image_size=336, patch_size=14)
projector = torch.nn.Sequential(torch.nn.Linear(1024, 4096), torch.nn.GELU(),
                                torch.nn.Linear(4096, 4096))
tower = CLIPVisionModel(config).to(dtype).eval()
projector = projector.to(dtype).eval()
x = torch.rand(n, 3, 336, 336).to(dtype)
best = float("inf")
with torch.inference_mode():
    for _ in range(3):
        start = time.monotonic()
        h = tower.vision_model.embeddings(x)
        h = tower.vision_model.pre_layrnorm(h)
        h = tower.vision_model.encoder(h).last_hidden_state
        projector(h[:, 1:])
        best = min(best, time.monotonic() - start)
print(n / best)
