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

# packed: the same numbers in another order
t "no type and no --pack" 64 mm-quantize -o x.gguf "$M"
"${PYTHON:-python3}" -c '
import struct
h = "{\x27descr\x27: \x27<i4\x27, \x27fortran_order\x27: False, \x27shape\x27: (5,), }"
h += " " * (117 - len(h)) + "\n"
open("ids.npy", "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(h)) + h.encode() +
                            struct.pack("<5i", 3, 1, 4, 1, 5))'
mm-pack --kind tokens ids.npy >ids.mmt
answers() { # answers MODEL [OPTION]: ids of 12 tokens
    mm-llm -m "$@" -n 12 -t 0 --ignore-eos --json ids.mmt | sed 's/"ms":[^,}]*//'
}
for type in f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0; do
    t "--pack $type" 0 mm-quantize -q -t $type --pack -o packed.gguf "$Y"
    t "--pack $type: the same tensors" 0 mm-diff --all -r 0 $type.gguf packed.gguf
    answers $type.gguf >want && answers packed.gguf >got && cmp -s want got
    ok "--pack $type: the same answers" $?
done
K=$GOLDEN/weights/gguf-llama-kmix/model/model.gguf
t "--pack keeps k-quants" 0 mm-quantize -q --pack -o packed.gguf "$K"
t "of the same tensors" 0 mm-diff --all -r 0 "$K" packed.gguf
answers "$K" --exact >want && answers packed.gguf --exact >got && cmp -s want got
ok "and the same answers" $?
mm-ls packed.gguf >out
has "mm-ls shows them" out 'p32_q4_k .*blk.0'
has "an untied embedding stays" out ' q[0-9]_k .*token_embd.weight'
has "the layout has a version" out 'mm.panel32.version = 2'
t "packed again" 0 mm-quantize -q --pack -o again.gguf packed.gguf
t "it is the same" 0 mm-diff --all -r 0 packed.gguf again.gguf
t "and unpacked at a type" 0 mm-quantize -q -t f32 -o again.gguf packed.gguf
t "as the source would be" 0 mm-quantize -q -t f32 -o plain.gguf "$K"
t "it is the same too" 0 mm-diff --all -r 0 plain.gguf again.gguf
t "one thread packs" 0 mm-quantize -q -j 1 --pack -o one.gguf "$K"
t "and three" 0 mm-quantize -q -j 3 --pack -o three.gguf "$K"
cmp -s one.gguf three.gguf
ok "the same bytes" $?
t "a tied embedding" 0 mm-quantize -q --pack -o tied.gguf "$L/tied/model"
mm-ls tied.gguf >out
has "is packed: it is multiplied" out 'p32_.*token_embd.weight'
t "plain" 0 mm-quantize -q -t f32 -o plain.gguf "$L/tied/model"
answers plain.gguf >want && answers tied.gguf >got && cmp -s want got
ok "the same answers from it" $?
mm-pack plain.gguf | mm-unpack -o plain.npz && mm-pack tied.gguf | mm-unpack -o tied.npz &&
    cmp -s plain.npz tied.npz
ok "mm-pack unpacks it" $?
size=$(wc -c <packed.gguf)
head -c $((size - 100)) packed.gguf >cut.gguf
t "a packed file that is cut" 65 mm-llm -m cut.gguf -n 1 ids.mmt
version() { # version N: packed.gguf as if of that
    sed "s/mm.panel32.version\\x04\\x00\\x00\\x00\\x02/mm.panel32.version\\x04\\x00\\x00\\x00\\x0$1/" packed.gguf
}
version 3 >other.gguf
t "another version of the layout" 65 mm-llm -m other.gguf -n 1 ids.mmt
has "is named" err 'mm.panel32.version is 3, want 2'
version 1 >other.gguf
t "one that had q3_k in another order" 65 mm-ls other.gguf
has "is named too" err 'mm.panel32.version is 1, want 2'
t "q8_0, packed" 0 mm-quantize -q -t q8_0 --pack -o packed.gguf "$Y"
version 1 >other.gguf
t "but not other types" 0 mm-diff --all -r 0 q8_0.gguf other.gguf
t "packed as it was" 0 mm-quantize -q --pack -o packed.gguf "$K"
sed 's/mm.panel32.version/mm.panel32.verzion/' packed.gguf >other.gguf
t "none" 65 mm-ls other.gguf
sed 's/general.alignment\x04\x00\x00\x00\x40/general.alignment\x04\x00\x00\x00\x20/' packed.gguf >other.gguf
t "a lesser alignment" 65 mm-ls other.gguf
has "too" err 'general.alignment is 32'
t "mmproj, packed" 0 mm-quantize -q --pack --mmproj -o pproj.gguf "$M"
t "mmproj as stored" 0 mm-quantize -q -t f32 --mmproj -o proj.gguf "$M"
picture=$GOLDEN/image/clip-224/picture.png
mm-encode -m proj.gguf "$picture" >f.want && mm-encode -m pproj.gguf "$picture" >f.got
ok "encodes" $?
t "the same features" 0 mm-diff --all -r 0 f.want f.got
mm-project -m proj.gguf f.want >e.want && mm-project -m pproj.gguf f.want >e.got
ok "projects" $?
t "the same embeddings" 0 mm-diff --all -r 0 e.want e.got

t "mmproj of a tower elsewhere" 0 mm-quantize -t f32 --mmproj -o orig.gguf \
    "$GOLDEN/llava/v15_orig/model"
finish
