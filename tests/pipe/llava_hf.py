# llava_hf.py MODEL TEXT PICTURE ...: what the transformers package makes of a LLaVA and its
# processor: for each picture a line of JSON with the greedy ids (32 at most) and their text.
# TEXT is the question, asked by the model's own chat template.  With --check: can it be done?
import json
import sys

try:
    import torch
    from PIL import Image
    from transformers import AutoProcessor, LlavaForConditionalGeneration
except ImportError as e:
    sys.exit(f"llava_hf.py: {e}")

if sys.argv[1:] == ["--check"]:
    sys.exit(0)
path, text, *pictures = sys.argv[1:]
processor = AutoProcessor.from_pretrained(path, local_files_only=True)
model = LlavaForConditionalGeneration.from_pretrained(path, torch_dtype=torch.float32, local_files_only=True).eval()
turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
prompt = processor.apply_chat_template(turn, add_generation_prompt=True)
for name in pictures:
    inputs = processor(images=Image.open(name).convert("RGB"), text=prompt, return_tensors="pt")
    with torch.no_grad():
        out = model.generate(**inputs, max_new_tokens=32, do_sample=False)
    ids = out[0, inputs["input_ids"].shape[1]:].tolist()
    print(json.dumps({"prompt_tokens": inputs["input_ids"].shape[1], "tokens": ids}))
