# mm-quantize: language models and mmproj files as GGUF
. "$TOP/tests/pipe/lib.sh"
M=$GOLDEN/llava/v15_hf/model
L=$GOLDEN/llama

# usage
t "no arguments" 64 mm-quantize
t "no type" 64 mm-quantize -o x.gguf "$M"
t "unknown type" 64 mm-quantize -t q3_k -o x.gguf "$M"
has "the types are listed" err 'q5_1'
t "two models" 64 mm-quantize -t f16 -o x.gguf "$M" "$M"
t "a tower without --mmproj" 64 mm-quantize -t f16 -o x.gguf --vision-tower t "$M"
t "no such model" 66 mm-quantize -t f16 -o x.gguf no-such-model
t "not a language model" 69 mm-quantize -t f16 -o x.gguf "$GOLDEN/clip/text-eos/model"
t "no projector" 69 mm-quantize -t f16 -o x.gguf --mmproj "$GOLDEN/clip/vision-quick/model"
t "malformed" 65 mm-quantize -t f16 -o x.gguf \
    "$GOLDEN/weights/malformed/files/safetensors/overlap.safetensors"
not_there "no file after an error" x.gguf
t "output that cannot be written" 74 mm-quantize -t f16 -o no/such/dir/x.gguf "$M"

# a language model at every type; again from the f32 file: the same tensors
Y=$L/rope-yarn/model # rows of 64 and 128
t "f32" 0 mm-quantize -q -t f32 -o f32.gguf "$Y"
[ ! -s out ] && [ ! -s err ]
ok "nothing is printed" $?
for type in f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0; do
    t "$type" 0 mm-quantize -q -t $type -o $type.gguf "$Y"
    t "$type from f32" 0 mm-quantize -t $type -o again.gguf f32.gguf
    t "$type: the same tensors" 0 mm-diff --all -r 0 $type.gguf again.gguf
done
t "q8_0 is near" 0 mm-diff -r 0.01 q8_0.gguf f32.gguf
t "q4_0 is not" 1 mm-diff -r 0.01 q4_0.gguf f32.gguf
mm-ls q4_0.gguf >out
has "matrices are in blocks" out 'q4_0.*blk.0.ffn_down.weight'
has "norms are not" out 'f32.*blk.0.ffn_norm.weight'
t "one thread" 0 mm-quantize -q -j 1 -t q8_0 -o one.gguf "$Y"
t "and three" 0 mm-quantize -q -j 3 -t q8_0 -o three.gguf "$Y"
cmp -s one.gguf three.gguf
ok "give the same bytes" $?
t "with its tokenizer" 0 mm-quantize -t q8_0 -o tok.gguf "$M"
[ ! -s err ]
ok "no warning" $?
t "mm-ls reads it" 0 mm-ls tok.gguf
has "the architecture is there" out 'general.architecture = "llama"'
has "the tokenizer is there" out 'tokenizer.ggml.model = "llama"'

# a row that is no multiple of 32; no tokenizer
t "odd rows" 0 mm-quantize -t q8_0 -o odd.gguf "$L/gqa/model"
has "ids only, said" err 'token ids only'
t "quiet" 0 mm-quantize -q -t q8_0 -o odd.gguf "$L/gqa/model"
[ ! -s err ]
ok "says nothing" $?
mm-ls odd.gguf >out
has "become f16" out 'f16.*blk.0.attn_q.weight'

# a tensor that no layer has
cp -r "$L/tied/model" odd && chmod -R u+w odd
"${PYTHON:-python3}" -c "
import json, struct
b = open('odd/model.safetensors', 'rb').read()
n, = struct.unpack('<Q', b[:8])
h, data = json.loads(b[8:8 + n]), b[8 + n:]
h['model.layers.0.extra.weight'] = {'dtype': 'F32', 'shape': [2], 'data_offsets': [len(data), len(data) + 8]}
j = json.dumps(h).encode()
open('odd/model.safetensors', 'wb').write(struct.pack('<Q', len(j)) + j + data + bytes(8))"
t "a surplus tensor" 65 mm-quantize -q -t f16 -o surplus.gguf odd
has "is named with its shape" err "surplus 'model.layers.0.extra.weight' \[2\]"
not_there "and nothing is written" surplus.gguf

# adapters
t "LoRA" 0 mm-quantize -q -t f32 -o lora.gguf --lora "$L/lora/adapter" "$L/lora/model"
t "base" 0 mm-quantize -q -t f32 -o base.gguf "$L/lora/model"
t "the adapter changes it" 1 mm-diff -r 0.001 lora.gguf base.gguf
t "an adapter as the model" 0 mm-quantize -q -t f32 -o lora2.gguf --base "$L/lora/model" \
    "$L/lora/adapter"
t "gives the same" 0 mm-diff --all -r 0 lora.gguf lora2.gguf

# tower and projector
t "mmproj" 0 mm-quantize -t f16 --mmproj -o mmproj.gguf "$M"
mm-ls mmproj.gguf >out
has "new names" out 'v.blk.0.ffn_up.weight'
has "the layer is said" out 'clip.vision.feature_layer'
t "mmproj of a tower elsewhere" 0 mm-quantize -t f32 --mmproj -o orig.gguf \
    "$GOLDEN/llava/v15_orig/model"
finish
