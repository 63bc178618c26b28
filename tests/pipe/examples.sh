# examples: what the EXAMPLES of the pages say is run as it stands, block by block, on small
# stand-ins: models of random weights under the names that the pages use, pictures, texts.
. "$TOP/tests/pipe/lib.sh"
top=$PWD
G=$GOLDEN
unset MM_MODEL OPENAI_API_KEY http_proxy https_proxy all_proxy
export MM_API_KEY=good-key # what chat_server.py wants
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
if [ "$CONFIG" != release ]; then
    skip "the examples" "their programs are tested one by one"
    finish
fi

# --- what a page needs beyond its own commands: PAGE BLOCK and a reason why it is not run here
not_run() {
    case $1-$2 in
    mm-get-*) echo "needs a network: pipe/mm-get.sh has a server of its own" ;;
    mm-performance-4) echo "is minutes of measuring: make bench" ;;
    mm-train-2) [ -x "$TOP/build/mpi/bin/mm-train" ] || echo "needs make MPI=1: pipe/mm-train.sh runs it" ;;
    mm-glyph-1) [ -e /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf ] || echo "the font is not installed" ;;
    mm-plot-1) command -v gnuplot >/dev/null || echo "gnuplot is not installed" ;;
    mm-synth-1) [ -e /usr/share/sounds/sf2/TimGM6mb.sf2 ] || echo "the soundfont is not installed" ;;
    esac
}

# What is changed in a block: places of an installation, counts that take long, a port.
edits() {
    case $1 in
    mm-batch) echo "s,/usr/local/libexec/mm,$TOP/scripts," ;;
    mm-instruct) echo "s,localhost:8000,127.0.0.1:$(cat "$top/port"),; s/ -n 100 / -n 4 /" ;;
    mm-synth) echo 's/ -n 2000 / -n 200 /; s/ -n 1000 / -n 100 /' ;;
    mm-train) echo "s/--steps 1000/--steps 2/; s,build/mpi/,$TOP/build/mpi/," ;;
    esac
}

# Blocks that are files of the one behind them.
file_of() {
    case $1-$2 in
    mm-diff-2) echo map ;;
    mmts-1) echo double.py ;;
    esac
}

# The status a block ends with where it is not 0: stand-ins say nothing of bicycles.
status() {
    case $1-$2 in
    mm-batch-1) echo 1 ;;
    *) echo 0 ;;
    esac
}

# blocks PAGE: its examples, block N into PAGE.N, as a reader sees them
blocks() {
    awk -v out="$1" '/^\.Sh /{ on = $2 == "EXAMPLES" } !on { next } /^\.Bd /{ n++; text = 1; next } /^\.Ed/{ text = 0; next }
        text { gsub(/\\&/, ""); gsub(/\\-/, "-"); gsub(/\\e/, "\\"); print >(out "." n) }' "$2"
}

# --- stand-ins
mkdir fx models blocks stubs
export MM_MODELS="$top/models"
for name in llava llava-1.5-7b-hf llava-smollm2; do cp -r "$G/llava/v15_hf/model" models/$name; done
cp -r "$G/llava/v15_orig/model" models/llava-v1.5-7b
cp -r "$G/llava/v15_orig/clip" tower # which it names
sed -i 's,"../clip","../../tower",' models/llava-v1.5-7b/config.json
for name in clip clip-vit-b-32; do cp -r "$G/clip/zero-shot/model" models/$name; done
cp -r "$G/llava/chat/model" models/smollm2
cp "$TOP/scripts/train/llava/chat_template.jinja" models/smollm2
cp -r "$G/tokenizer/hf_llama_legacy/model" models/vicuna
printf '#!/bin/sh\n' >stubs/mm-get # they are there
chmod +x stubs/mm-get
export PATH="$top/stubs:$TOP/scripts:$PATH"
(
    cd fx
    v=$G/llava/v15_hf
    cp -r "$v/model" M
    mkdir photos pictures
    for f in photo kitchen holiday cat new; do cp "$G/image/decode-jpeg/s420.jpg" $f.jpg; done
    cp "$G/image/decode-jpeg/s444.jpg" photos/one.jpg
    cp photo.jpg photos/two.jpg
    cp photos/*.jpg pictures
    cp "$TOP/scripts/demo.png" picture.png
    cp "$v/cat.png" a.png
    cp "$v/cup.png" c.png
    printf 'Once there was a small red circle.\nIt said hello.\n' >t.txt
    cp t.txt notes.txt
    cp t.txt prompt.txt
    for i in 1 2 3 4 5 6 7 8 9 10; do cat t.txt; done >story.txt
    cp "$TOP/README.md" README.md
    "$PYTHON" - <<'P'
import numpy as np
x = np.arange(6, dtype='f4').reshape(2, 3)
np.save('a.npy', x)
np.savez('a.npz', x=x, y=x + 1)
np.save('ids.npy', np.array([1, 5, 9], 'i4'))
np.save('pixel_values.npy', np.random.default_rng(1).standard_normal((1, 3, 35, 35), dtype='f4'))
P
    mm-encode -q -m M --exact --trace trace.mmt a.png >all.mmt
    mm-encode -q -m M photo.jpg | mm-project -q -m M >photo.mmt
    printf '{"prompt": "%s"}\n' one two three >questions.jsonl
    cp "$G/metrics/captions/results.json" results.json
    cp "$G/metrics/captions/captions.json" captions_val2014.json
    mm-synth -q -s 1 -n 200 --split test --format llava -o seen
    "$PYTHON" - <<'P'
import json
for d in json.load(open('seen/llava.json')):
    print(json.dumps({'id': d['id'], 'text': 'red'}), file=open('answers.jsonl', 'a'))
P
    mkdir stage2
    cp -r "$G/train/llava_stage2_lora/model" stage1
    cp -r "$G/train/llava_stage2_lora/adapter" stage2
    for i in $(seq 20); do echo "{\"update\":$i,\"loss\":$i.5,\"lr\":0.1,\"grad_norm\":1,\"tokens\":9,\"seconds\":1}"; done >stage1/log.jsonl
    cp stage1/log.jsonl stage2
    mm-quantize -q -t f32 -o model.gguf "$G/llama/vicuna/model"
    mm-quantize -q -t f16 -o vicuna-f16.gguf "$MM_MODELS/llava-v1.5-7b"
    # pictures and talks for training
    mm-synth -q -s 3 -n 4 --format llava -o world
    mv world/images images
    sed 's,"images/,",' world/llava.json >talks.json
    cp talks.json captions.json
    cat >config.json <<'J'
{ "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 32, "intermediate_size": 48,
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 1e-5 }
J
) >fx.log 2>&1
"$PYTHON" "$TOP/tests/pipe/chat_server.py" port log >/dev/null 2>&1 &
server=$!
trap 'kill $server' EXIT
i=0
while [ ! -s port ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i + 1)); done

# before PAGE BLOCK: what only this block finds
before() {
    case $1-$2 in
    mm-diff-1) mm-encode -q -m M --exact --trace other.mmt c.png >/dev/null && mm-unpack -o expected.safetensors other.mmt ;;
    mm-diff-3)
        mm-encode -q -m M --exact --trace t.mmt a.png >/dev/null &&
            mm-pack "$G/llava/v15_hf/expected.safetensors" | mm-cut -w 'name=one.vision.hidden.[01]' | mm-unpack -o expected.safetensors
        ;;
    esac
}

for page in "$TOP"/man/*.[157]; do
    name=$(basename "$page" | sed 's/\.[157]$//')
    blocks "blocks/$name" "$page"
    [ -e "blocks/$name.1" ]
    ok "$name has examples" $?
    if command -v mandoc >/dev/null; then # what was cut out is what a reader copies
        mandoc -T utf8 -O width=300 "$page" | sed 's/^ *//' >blocks/page
        cat blocks/"$name".[0-9] | sed 's/^ *//' | grep -vxF -f blocks/page
        [ $? = 1 ]
        ok "$name: they read as they are run" $?
    fi
    cp -r fx "$name"
    for block in $(ls blocks/"$name".* | sort -t . -k 2n); do
        n_of=${block##*.}
        file=$(file_of "$name" "$n_of")
        if [ -n "$file" ]; then
            cp "$block" "$name/$file"
            continue
        fi
        why=$(not_run "$name" "$n_of")
        if [ -n "$why" ]; then
            skip "$name: example $n_of" "$why"
            continue
        fi
        sed "$(edits "$name")" "$block" >"$block.sh"
        (cd "$name" && before "$name" "$n_of" && sh -eu "../$block.sh") >"$block.out" 2>"$block.err" </dev/null
        got=$?
        [ $got = "$(status "$name" "$n_of")" ] || { echo "# status $got"; cat "$block.sh"; head -5 "$block.err"; } | sed 's/^/# /'
        [ $got = "$(status "$name" "$n_of")" ]
        ok "$name: example $n_of" $?
    done
done
finish
