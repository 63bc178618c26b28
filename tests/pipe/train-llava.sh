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
for name, rgb in (('a', (200, 30, 30)), ('b', (30, 30, 200))):
    x = np.zeros((40, 40, 4), 'u1')
    x[4:36, 4:36] = rgb + (255,)
    np.save(name + '.npy', x)
P
for f in a b; do mm-pack -k image $f.npy | mm-unpack -o sprites/$f.png; done
for noun in ant bat bee cat cow dog duck fish fox frog goat hen lion mole ox owl pig rat seal wolf; do
    printf 'a.png\t%s\t%ss\tann\nb.png\t%s\t%ss\ttuxpaint\n' $noun $noun $noun $noun
done >sprites/sprites.tsv
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
t "shipped" 0 recipe ship SHIP="$PWD/small/llava"
t "measured" 0 recipe card SHIP="$PWD/small/llava" N=4 FACTS=20 FILL=20 TOKENS=8 BLIND_TOKENS=4
has "on its page" small/llava/README.md '^| of 4 scenes a tier |'
has "with its training" small/llava/README.md '^| stage 2 (`llava-instruct`) | all of it, on talks | 2 | 8 |'
has "to its end" small/llava/README.md '^| the same | all of it, on many questions about each picture | 2 | 8 |'
ls small/llava | paste -s -d ' ' - >out
same "nothing else lies there" out "README.md chat_template.jinja chat_template.json config.json model.safetensors \
preprocessor_config.json processor_config.json tokenizer.json tokenizer_config.json"
finish
