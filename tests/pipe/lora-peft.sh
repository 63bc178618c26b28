# lora-peft: the peft package opens a LLaVA's adapters that mm-train made and merges them as
# mm-lora does (lora-gguf.sh: those beside a GGUF).  Needs a python3 with torch, transformers
# and peft (MM_TORCH).
. "$TOP/tests/pipe/lib.sh"
python=${MM_TORCH:-python3}
S=$GOLDEN/train/llava_stage2
if ! "$python" -c 'import peft, transformers' 2>/dev/null; then
    skip "peft opens an adapter" "$python has no peft"
    finish
fi

# agree MODEL ADAPTER MERGED: tensors of the adapter, and is our sum theirs
agree() {
    "$python" - "$@" 2>/dev/null <<'P'
import sys, torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import LlavaForConditionalGeneration
model, adapter, merged = sys.argv[1:]
base = LlavaForConditionalGeneration.from_pretrained(model, torch_dtype=torch.float32)
with_adapter = PeftModel.from_pretrained(base, adapter)
print(sum("lora_" in n for n, _ in with_adapter.named_parameters()), end=" ")
theirs = with_adapter.merge_and_unload().state_dict()
ours = load_file(merged)
apart = [(theirs[n] - w).norm() / w.norm() for n, w in ours.items() if n in theirs]
print(len(apart) == len(ours), max(apart).item() < 1e-6)
P
}
mm-train llava-instruct --model "$S/model" --images "$S/images" --lora 3 --lora-alpha 5 --lr 0.01 --steps 4 -B 2 \
    --warmup 0 -o a "$S/instruct.json"
mm-lora merge -m a --lora a/adapter -o am
t "an adapter of a LLaVA" 0 agree a a/adapter am/model.safetensors
same "is opened, all of it, and merged as ours" out "28 True True"
mm-train llava-instruct --model "$S/model" --images "$S/images" --lora 2 --lora-targets 'q_proj|layers\.1\..*up_proj' --lr 0.01 \
    --steps 4 -B 2 --warmup 0 -o b "$S/instruct.json"
mm-lora merge -m b --lora b/adapter -o bm
t "of some layers" 0 agree b b/adapter bm/model.safetensors
same "too" out "6 True True"
finish
