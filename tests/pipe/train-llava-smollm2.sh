# scripts/train/llava-smollm2.mk: a trifle of the recipe on a tiny language model and tower;
# what comes out is asked as the shipped directory will be
. "$TOP/tests/pipe/lib.sh"
if [ "$CONFIG" != release ]; then
    skip "the recipe" "its programs are tested one by one"
    finish
fi
S=$GOLDEN/train/llava_stage2/model
mkdir -p models/tinylm small
export MM_MODELS="$PWD/models"
mm-quantize -q --type q8_0 -o models/tinylm/tinylm.gguf "$S" 2>/dev/null
recipe() {
    make -s -C "$TOP" -f scripts/train/llava-smollm2.mk BIN="$MM_BIN" W="$PWD/w" TOWER="$S" LM=tinylm \
        TIERS=shapes,words SCALE=1000 ALIGN_BATCH=2 TALK_BATCH=2 J=1 "$@"
}
t "from a tower and a language model to a connector" 0 recipe
t "and nothing is left to do" 0 recipe -q
rm -r w/stage2/model.safetensors w/model
t "an end that was cut off" 0 recipe
t "comes again" 0 cmp w/stage2/model.safetensors w/model/model.safetensors
(cd w/model && ls) >out
same "it is small" out "adapter_config.json
adapter_model.safetensors
config.json
model.safetensors"
t "answers without a system text" 0 grep -c '"from":"system","value":""' w/data/short.json
t "and with it" 1 grep -e system -e 'sentence\.' w/data/chat.json
t "in sentences" 0 grep '"gpt","value":"The picture shows [^"]*\."' w/data/chat.json

# --- as it ships: the tower beside it, the language model by name
ln -s "$S" small/llava
cp -r w/model small/llava-smollm2
sed -i 's|"mm_vision_tower": *"[^"]*"|"mm_vision_tower": "../llava"|' small/llava-smollm2/config.json
M=$PWD/small/llava-smollm2
set -- w/data/short/images/*.png
by_hand() { # the stages' own files
    mm-encode -m "$S" "$1" | mm-project -m w/stage2 |
        mm-llm -m models/tinylm --lora w/stage2/adapter --template auto --system '' -t 0 -n 512 -p '<image>\nWhy?'
}
by_hand "$1" >want
t "mm-vqa" 0 "$TOP/scripts/mm-vqa" -m "$M" "$1" 'Why?'
[ -s want ] && cmp -s want out
ok "answers as the stages do" $?
t "mm-caption" 0 "$TOP/scripts/mm-caption" -m "$M" "$1" "$2"
t "mm-chat about a picture" 0 sh -c "echo 'What is it?' | '$TOP/scripts/mm-chat' -m '$M' '$1'"
mm-encode -m "$M" "$1" | mm-project -m "$M" >seen.mmt
echo 'What is it?' | mm-llm -m "$M" --template auto --chat seen.mmt >want
cmp -s want out
ok "answers as mm-llm does" $?
mkdir sprites # eval.mk would make them
"$PYTHON" - <<'P'
import numpy as np
np.save('a.npy', np.full((40, 40, 4), 255, 'u1'))
P
mm-pack -k image a.npy | mm-unpack -o sprites/a.png
for noun in ant bat bee cat cow dog duck fish fox frog goat hen lion mole ox owl pig rat seal wolf; do
    printf 'a.png\t%s\t%ss\tann\na.png\t%s\t%ss\ttuxpaint\n' $noun $noun $noun $noun
done >sprites/sprites.tsv
echo '{"model": "llava", "scenes": 4, "vqa.all": {"label": "questions: all", "score": 12.5}}' >beside.jsonl
t "measured" 0 recipe card SHIP="$PWD/small/page" BESIDE="$PWD/beside.jsonl" SPRITES="$PWD/sprites" N=4 FACTS=20 FILL=20 \
    TOKENS=8 BLIND_TOKENS=4
has "beside the small one" small/page/README.md '^| questions: all | 12.5 | [0-9.]* \[.*\] |$'
has "its costs" small/page/README.md 'to the answer takes [0-9.]* s, of the small one [0-9.]* s\.$'
rm -r models/tinylm
t "without its language model" 69 "$TOP/scripts/mm-vqa" -m "$M" "$1" 'Why?'
has "it says what to do" err "install it (mm-get tinylm)"
rm small/llava
t "without its tower" 69 mm-encode -m "$M" "$1"
has "the tower is named" err "vision tower '../llava'"
finish
