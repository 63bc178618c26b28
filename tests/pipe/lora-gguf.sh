# lora-gguf: a model in Hugging Face layout and its twin in a GGUF take the same adapters, theirs
# and ours, and give the same logits.  With peft (MM_TORCH) that package opens ours too.
. "$TOP/tests/pipe/lib.sh"
S=$GOLDEN/train/llava_stage2
"$PYTHON" -c "import numpy as np; np.save('ids.npy', np.array([1, 5, 40, 17, 99, 3, 64], 'i4'))"
mm-pack --kind tokens ids.npy >ids.mmt

# logits FILE MODEL [OPTION ...]: of all positions of ids.mmt
logits() {
    to=$1
    shift
    mm-llm --exact -n 1 --trace trace.mmt "$@" ids.mmt >/dev/null && mm-cut -w name=logits trace.mmt >"$to"
}
alike() { mm-diff -r 1e-5 "$1" "$2"; }

# --- peft's adapters on the twin of their model
for c in lora lora-rslora lora-pattern; do
    C=$GOLDEN/llama/$c
    mm-quantize -q -t f32 -o twin.gguf "$C/model"
    t "$c" 0 logits want -m "$C/model" --lora "$C/adapter"
    t "$c on a GGUF" 0 logits got -m twin.gguf --lora "$C/adapter"
    t "gives the same logits" 0 alike want got
    t "$c: without it" 0 logits base -m twin.gguf
    t "they are others" 1 mm-diff -r 1e-2 base got
done
t "of another model" 65 logits got -m twin.gguf --lora "$GOLDEN/train/llava_stage2_lora/adapter"

# --- an adapter trained beside a GGUF; the language model of a LLaVA by itself is its twin
mkdir lm
"$PYTHON" - "$S/model" <<'P'
import json, struct, sys
b = open(sys.argv[1] + '/model.safetensors', 'rb').read()
n, = struct.unpack('<Q', b[:8])
lm, data = {}, b''
for name, h in json.loads(b[8:8 + n]).items():
    if name.startswith('language_model.'):
        x = b[8 + n + h['data_offsets'][0]:8 + n + h['data_offsets'][1]]
        lm[name[15:]] = dict(h, data_offsets=[len(data), len(data) + len(x)])
        data += x
head = json.dumps(dict(lm, __metadata__={'format': 'pt'})).encode()
open('lm/model.safetensors', 'wb').write(struct.pack('<Q', len(head)) + head + data)
c = json.load(open(sys.argv[1] + '/config.json'))['text_config']
c['vocab_size'] = lm['model.embed_tokens.weight']['shape'][0]
json.dump(dict(c, architectures=['LlamaForCausalLM'], torch_dtype='float32'), open('lm/config.json', 'w'))
P
mm-quantize -q -t f32 -o lm.gguf "$S/model" 2>/dev/null
train() {
    model=$1
    shift
    mm-train llava-instruct -q --model "$model" --vision-tower "$S/model" --images "$S/images" --template v1 -B 2 "$@" "$S/instruct.json"
}
t "an adapter beside a GGUF" 0 train lm.gguf --lora 3 --lr 0.02 --steps 4 -o made
mm-ls made/adapter/adapter_model.safetensors >names
t "has no names of GGUF's" 1 grep blk names
[ "$(grep -c 'base_model.model.model.layers.[01].*_proj.lora_[AB].weight' names)" = 28 ]
ok "but Hugging Face's" $?
[ "$(grep -c '"model.layers.[01].*_proj"' made/adapter/adapter_config.json)" = 14 ]
ok "in its configuration too" $?
t "on the GGUF" 0 logits got -m lm.gguf --lora made/adapter
t "on its twin" 0 logits want -m lm --lora made/adapter
t "it gives the same logits" 0 alike want got
t "others than without it" 0 logits base -m lm
t "by far" 1 mm-diff -r 1e-2 base want
t "merged into the twin" 0 mm-lora merge -m lm --lora made/adapter -o merged
t "the same" 0 logits got -m merged
t "logits" 0 alike want got
t "a GGUF is another program's" 69 mm-lora merge -m lm.gguf --lora made/adapter -o x
has "which is named" err 'mm-quantize --lora'
t "merged into the GGUF" 0 mm-quantize -q -t f32 --lora made/adapter -o merged.gguf lm.gguf
t "the same" 0 logits got -m merged.gguf
t "logits again" 0 alike want got
t "one goes on from it" 0 train lm.gguf --adapter made/adapter --lr 1e-12 --weight-decay 0 --steps 1 -o same
mm-pack made/adapter/adapter_model.safetensors >was.mmt
t "as it was" 0 sh -c "mm-pack same/adapter/adapter_model.safetensors | mm-diff -r 1e-6 was.mmt -"
cp "$S"/model/*token* lm
t "three updates beside the GGUF" 0 train lm.gguf --adapter made/adapter --projector made --freeze '*projector*' --lr 0.01 --steps 3 -o one
t "and beside its twin" 0 train lm --adapter made/adapter --projector made --freeze '*projector*' --lr 0.01 --steps 3 -o two
for d in one two; do mm-pack $d/adapter/adapter_model.safetensors >$d.mmt; done
t "learn" 1 mm-diff -r 1e-2 was.mmt one.mmt
t "the same" 0 mm-diff -r 1e-3 one.mmt two.mmt
for targets in q_proj attn_q 'model\.layers\.0\..*q_proj|blk\.1\.attn_q'; do
    rm -rf few
    t "beside what '$targets' says" 0 train lm.gguf --lora 2 --lora-targets "$targets" --steps 1 -o few
    [ "$(mm-ls few/adapter/adapter_model.safetensors | grep -c 'model.layers.[01].self_attn.q_proj.lora_[AB]')" = 4 ]
    ok "two layers" $?
done

# --- peft itself
python=${MM_TORCH:-python3}
if "$python" -c 'import peft' 2>/dev/null; then
    "$python" - >err 2>&1 <<'P'
import numpy as np, torch
from peft import PeftModel
from transformers import LlamaForCausalLM
m = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained('lm', attn_implementation='eager'), 'made/adapter').eval()
with torch.no_grad():
    np.save('logits.npy', m(torch.tensor(np.load('ids.npy')).long()[None]).logits[0].numpy())
P
    ok "opened by peft" $?
    t "the same logits" 0 sh -c "mm-pack logits.npy | mm-diff -r 1e-5 want -"
else
    skip "the adapter opened by peft" "$python has no peft"
fi
finish
