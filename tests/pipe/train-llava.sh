# scripts/train/llava.mk: a trifle of the recipe, from nothing to an answer
. "$TOP/tests/pipe/lib.sh"
if [ "$CONFIG" != release ]; then
    skip "the recipe" "its programs are tested one by one"
    finish
    exit 0
fi
mkdir -p sprites
"$PYTHON" - <<'P'
import numpy as np
for name, rgb in (('a', (200, 30, 30)), ('b', (30, 30, 200)), ('c', (30, 160, 30))):
    x = np.zeros((40, 40, 4), 'u1')
    x[4:36, 4:36] = rgb + (255,)
    np.save(name + '.npy', x)
P
for f in a b c; do mm-pack -k image $f.npy | mm-unpack -o sprites/$f.png; done
printf 'a.png\tox\toxen\tann\nb.png\tcow\tcows\tann\nc.png\tant\tants\tann\n' >sprites/sprites.tsv
recipe() {
    make -s -C "$TOP" -f scripts/train/llava.mk BIN="$MM_BIN" W="$PWD/w" SPRITES="$PWD/sprites" \
        SCALE=4000 CLIP_BATCH=8 LM_BATCH=2 BATCH=4 J=1 "$@"
}
t "from nothing to a model" 0 recipe
t "all of it" 0 test -s w/llava/model.safetensors
t "and nothing is left to do" 0 recipe -q
t "opened by its files" 0 sh -c 'cd w/llava && ls config.json tokenizer.json tokenizer_config.json \
    preprocessor_config.json processor_config.json chat_template.jinja'
mm-ls w/llava/model.safetensors >names
t "in half precision" 1 grep ' f32 ' names
set -- w/data/captions/images/*.png
t "it says something about a picture" 0 "$TOP/scripts/mm-vqa" -m w/llava "$1" 'What shape is the object?'
finish
