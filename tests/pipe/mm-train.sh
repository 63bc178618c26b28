# mm-train: weights from data
. "$TOP/tests/pipe/lib.sh"
L=$GOLDEN/train/lm_pretrain
TOK=$GOLDEN/llava/v15_hf/model

mm-pack "$L/inputs.safetensors" | mm-cut -w 'name=tokens' -a kind=tokens >t.mmt
lm() { mm-train lm -m "$L/model" -o "$@"; }

# --- a run, its log, its result
t "a run" 0 lm a --steps 6 -B 4 --lr 0.004 t.mmt
t "a line of the log for each update" 0 sh -c 'grep -c "\"update\":[1-6],\"loss\":[0-9.]*,\"lr\":" a/log.jsonl'
same "six" out 6
t "the result is a model" 0 sh -c "mm-ls a/model.safetensors | wc -l"
same "with all its tensors" out "$(mm-ls "$L/model/model.safetensors" | wc -l)"
printf '1,5,9\n' >ids.csv
t "that mm-llm takes" 0 sh -c "mm-pack --kind tokens --name ids ids.csv | mm-llm -m a -n 3 -t 0 --json"
t "and that is not what it was" 1 sh -c "mm-pack a/model.safetensors >n.mmt;
    mm-pack '$L/model/model.safetensors' | mm-diff -r 1e-3 - n.mmt"
lm b --steps 6 -B 4 --lr 0.004 -j 3 --checkpoint-activations t.mmt
t "any number of threads" 0 cmp a/model.safetensors b/model.safetensors
lm c --steps 6 -B 4 --lr 0.004 -s 1 t.mmt
t "another seed, another order" 1 cmp -s a/model.safetensors c/model.safetensors
t "from standard input" 0 sh -c "mm-train lm -m '$L/model' -o d --steps 6 -B 4 --lr 0.004 - <t.mmt"
t "the same" 0 cmp a/model.safetensors d/model.safetensors

t "progress on a terminal" 0 script -qec "mm-train lm -m '$L/model' -o tty --steps 3 -B 4 t.mmt" /dev/null
has "tells loss, rate and when it ends" out 'lm 3/3 loss [0-9.]* rate [-0-9.e]* [0-9]* tokens/s eta 0 s'
t "elsewhere there is none" 0 lm tty2 --steps 3 -B 4 t.mmt
[ ! -s err ] && [ ! -s out ]
ok "nor anything else" $?

# --- interrupted
lm whole --epochs 8 -B 2 --accumulate 2 --ema 0.9 --lr 0.004 t.mmt
cat >killed.sh <<END
n=0
while [ ! -e cut/model.safetensors ] && [ \$n -lt 200 ]; do
    n=\$((n + 1))
    mm-train lm -m '$L/model' -o cut --epochs 8 -B 2 --accumulate 2 --ema 0.9 --lr 0.004 \
        --save-every 1 --resume t.mmt &
    sleep 0.0\$((n % 5 + 2))
    [ \$n -ge 12 ] || kill -9 \$! 2>/dev/null
    wait \$!
done
END
t "killed again and again" 0 sh killed.sh
t "it comes to the same weights" 0 cmp whole/model.safetensors cut/model.safetensors
t "and the same log but for the time" 0 sh -c 'for d in whole cut; do
    sed "s/,\"seconds.*//" $d/log.jsonl >$d.log; done; cmp whole.log cut.log'
mm-train lm -q -m "$L/model" -o live --steps 100000000 -B 2 t.mmt &
for i in $(seq 300); do
    [ -s live/log.jsonl ] && break
    sleep 0.1
done
t "one run at a time" 74 lm live --steps 100000000 -B 2 --resume t.mmt
has "is in a directory" err 'live: another run is at it'
kill -9 $!
wait $! 2>/dev/null
t "the log grows between checkpoints" 0 grep -q '"update":1,' live/log.jsonl
not_there "of which there is none yet" live/state.safetensors
mkdir -p swept/start
touch swept/state.safetensors.aB3dE6 swept/start/model.safetensors.aB3dE6 swept/state.safetensors.kept swept/notes.aB3dE6
lm swept --steps 2 -B 2 t.mmt
t "what a killed run left half written is removed" 0 sh -c 'ls -d swept/*.*; ls swept/start'
same "and nothing else" out "swept/config.json
swept/log.jsonl
swept/model.safetensors
swept/notes.aB3dE6
swept/state.safetensors
swept/state.safetensors.kept"
t "a checkpoint is not overwritten" 64 lm whole --epochs 8 t.mmt
has "it says how to go on" err 'go on with --resume'
t "nor taken by another run" 65 lm whole --epochs 8 -B 2 --accumulate 2 --ema 0.9 --lr 0.005 --resume t.mmt
has "the setting that differs is named" err "made with rates '0.004 0 0', now it is '0.005 0 0'"
again() { mm-train lm -m "$L/model" -o whole --epochs 8 -B 2 --accumulate 2 --ema 0.9 --lr 0.004 --resume "$@"; }
t "nor with other weights frozen" 65 again --freeze '*mlp*' t.mmt
has "which is told" err "made with trained '21 tensors"
t "nor with other roundings" 65 again --bf16 t.mmt
mm-pack "$L/inputs.safetensors" | mm-cut -w 'name=tokens' -a kind=tokens | mm-unpack -o unpacked >/dev/null
"$PYTHON" -c 'import numpy, glob; f = glob.glob("unpacked/*.npy")[0]; a = numpy.load(f); numpy.save("other.npy", a[::-1])'
mm-pack --kind tokens other.npy >other.mmt
t "nor with other data" 65 again other.mmt
has "which is told too" err 'made with data'
t "the same are taken" 0 again t.mmt
printf 'x' | dd of=cut/state.safetensors bs=1 seek=3 conv=notrunc 2>/dev/null
t "a broken checkpoint" 65 lm cut --epochs 8 -B 2 --accumulate 2 --ema 0.9 --lr 0.004 --resume t.mmt

# --- curves
if command -v gnuplot >/dev/null; then
    t "curves on the terminal" 0 "$TOP/scripts/mm-plot" a/log.jsonl
    has "with their axis" out update
    t "and in a file" 0 "$TOP/scripts/mm-plot" -y grad_norm -s 2 -o c.png a/log.jsonl c/log.jsonl
    t "of pixels" 0 sh -c "mm-pack c.png | mm-ls"
    t "fewer updates than a mean takes" 0 "$TOP/scripts/mm-plot" -s 400 a/log.jsonl
    t "a folder that is not there" 74 "$TOP/scripts/mm-plot" -o none/c.png a/log.jsonl
    t "a full disk" 74 sh -c "'$TOP/scripts/mm-plot' a/log.jsonl >/dev/full"
    t "no such member" 65 "$TOP/scripts/mm-plot" -y speed a/log.jsonl
else
    skip "curves" "gnuplot is not installed"
fi
t "no log" 64 "$TOP/scripts/mm-plot"

# --- several processes
M=$TOP/build/mpi/bin/mm-train
if [ "$CONFIG" = release ] && command -v mpirun >/dev/null && [ -x "$M" ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    for p in 1 2 4; do
        mpirun --oversubscribe -n $p "$M" lm -q -j 1 -m "$L/model" -o mpi$p --steps 20 -B 2 --accumulate 4 --lr 0.004 t.mmt
    done >/dev/null 2>&1
    t "two processes, the same weights" 0 cmp mpi1/model.safetensors mpi2/model.safetensors
    t "four too" 0 cmp mpi1/model.safetensors mpi4/model.safetensors
    lm mpi0 --steps 20 -B 2 --accumulate 4 --lr 0.004 t.mmt
    t "as without MPI" 0 cmp mpi1/model.safetensors mpi0/model.safetensors
    t "three are refused" 64 mpirun --oversubscribe -n 3 "$M" lm -j 1 -m "$L/model" -o mpi3 --steps 1 --accumulate 3 t.mmt
else
    skip "several processes" "there is no build with MPI=1"
fi

t "a program without MPI is not started by mpirun" 69 env OMPI_COMM_WORLD_SIZE=2 mm-train lm -m "$L/model" -o no t.mmt
has "which is told" err 'build it with MPI=1'

# --- a new model
cat >config.json <<'END'
{ "model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
  "rms_norm_eps": 1e-5, "tie_word_embeddings": true }
END
for i in 1 2 3 4 5 6 7 8; do echo "Once upon a time there was a cat. The cat sat on the mat."; done >story.txt
t "from a configuration" 0 mm-train lm --config config.json --tokenizer "$TOK" --lines story.txt -o new \
    --steps 80 --context 32 --lr 0.01 --dtype bf16
t "its loss falls" 0 awk -F '[:,]' 'NR == 1 { a = $4 } END { exit !($4 < a / 2) }' new/log.jsonl
t "it answers" 0 mm-llm -m new -n 6 -t 0 -p 'Once upon a'
has "as it was taught" out 'time'
not_there "what it started from is gone" new/start
t "weights are bf16" 0 sh -c 'mm-ls new/model.safetensors | grep -c " bf16 "'
same "all" out 20

# --- a tokenizer of its own
for i in 1 2 3; do printf 'The cat and the hat.\nDer Bär läuft – it'"'"'s 42!\n'; done >zoo.txt
t "a tokenizer" 0 mm-train tokenizer --vocab 300 --lines -o tok story.txt zoo.txt
t "gives back any text" 0 sh -c "mm-tokens -m tok --no-special zoo.txt | mm-tokens -m tok --no-special -d | cmp - zoo.txt"
t "marks its beginning" 0 sh -c "printf 'Once upon' | mm-tokens -m tok | mm-tokens -m tok -d"
t "a frequent word is one token" 0 sh -c "echo '\" upon\"' | mm-tokens -m tok --json --no-special | grep -qx '\[[0-9]*\]'"
t "clip's" 0 mm-train tokenizer --vocab 290 --style clip --lines -o ctok story.txt
t "texts behind rows of tokens" 65 mm-train lm --config config.json --tokenizer "$TOK" -o mixed --steps 1 t.mmt story.txt
"$PYTHON" -c "import numpy; numpy.save('flat.npy', numpy.array([1, 5, 9], 'i4'))"
t "tokens behind them" 65 sh -c "mm-pack --kind tokens flat.npy | mm-train lm -m '$L/model' -o mixed --steps 1 t.mmt -"
has "are no rows" err 'rows of 37 tokens: all data must have one length'
t "for a new model" 0 mm-train lm --config config.json --tokenizer tok --lines story.txt -o new2 --steps 2 --context 16
t "whose vocabulary it is" 0 grep -q '"vocab_size": 300' new2/config.json
t "too small a vocabulary" 65 mm-train tokenizer --vocab 258 -o x story.txt
printf '\377' >latin
t "no UTF-8" 65 mm-train tokenizer -o x latin

# --- parts
t "some weights alone" 0 lm part --steps 3 -B 4 --train '*mlp*' --freeze '*.1.*' --lr 0.01 t.mmt
t "the others stay" 1 sh -c "mm-pack part/model.safetensors >p.mmt;
    mm-pack '$L/model/model.safetensors' | mm-diff - p.mmt >d; grep -q 'layers.0.mlp.up' d &&
    ! grep -q 'layers.1.mlp.up.*differ' d; mm-pack '$L/model/model.safetensors' | mm-diff - p.mmt"
t "nothing to train" 64 lm none --train 'no.such*' t.mmt
t "a name that is misspelt" 64 lm none --freeze '*mlp*' --freeze 'modle.*' t.mmt
has "is told" err "freeze 'modle.\*': no weight has such a name"
t "among others" 64 lm none --train '*mlp*' --train 'modle.*' t.mmt
t "all frozen" 64 lm none --freeze '*' t.mmt
t "an option of another objective" 64 lm none --lora 4 t.mmt
has "is refused" err 'lm does not take --lora'
t "of the tokenizer" 64 mm-train tokenizer --images . -o none story.txt
t "of pictures" 64 mm-train contrastive --config config.json --template v1 -o none story.txt

# --- LLaVA
S=$GOLDEN/train/llava_stage2
A=$GOLDEN/train/llava_stage1
t "stage 1" 0 mm-train llava-align -m "$A/model" --images "$A/images" -B 3 --steps 4 -o s1 "$A/pretrain.json"
mm-pack s1/model.safetensors >s1.mmt
mm-pack "$A/model/model.safetensors" | mm-cut -w 'name=*projector*' >p0.mmt
mm-pack "$A/model/model.safetensors" | mm-cut -w 'name=[lv]*' >r0.mmt
t "moves the projector" 1 mm-diff p0.mmt s1.mmt
t "and nothing else, not by a bit" 0 mm-diff r0.mmt s1.mmt
t "stage 2 as the issue has it" 0 mm-train llava-instruct --model "$S/model" --data "$S/instruct.json" \
    --images "$S/images" -o s2 --steps 3 --resume -B 2
t "ends in a LLaVA model" 0 sh -c "mm-encode -m s2 '$S/images/a.png' | mm-project -m s2 | mm-llm -m s2 -n 4 -t 0 -p '<image>'"
t "what is frozen anyway may be named" 0 mm-train llava-align -m "$A/model" --images "$A/images" -B 3 --steps 1 \
    --freeze 'vision_tower*' --freeze '*mlp*' -o frozen "$A/pretrain.json"
mm-encode -m "$S/model" "$S"/images/*.png >f.mmt
mm-train llava-instruct --model "$S/model" --features f.mmt -o s3 --steps 3 -B 2 "$S/instruct.json"
mm-pack s2/model.safetensors >s2.mmt
t "features from a file do the same" 0 sh -c "mm-pack s3/model.safetensors | mm-diff -r 1e-3 s2.mmt -"
t "from a pipe too" 0 sh -c "mm-encode -m '$S/model' '$S'/images/*.png | mm-train llava-instruct --model '$S/model' --features - \
    -o s3p --steps 3 -B 2 '$S/instruct.json'"
t "with the same bytes" 0 cmp s3/model.safetensors s3p/model.safetensors
t "a pipe for two" 64 mm-train llava-instruct --model "$S/model" --features - -o x -
mm-train llava-instruct --model "$S/model" --images "$S/images" --lora 2 --lr 0.01 -o s4 --steps 3 -B 2 \
    --group-by-length "$S/instruct.json"
t "LoRA leaves the language model" 0 sh -c "mm-pack s4/model.safetensors >s4.mmt;
    mm-pack '$S/model/model.safetensors' | mm-cut -w 'name=language*' | mm-diff - s4.mmt"
t "and writes an adapter" 0 sh -c "mm-ls s4/adapter/adapter_model.safetensors | grep -c 'lora_[AB]'"
same "of all layers" out 28
mkdir -p s7/adapter/adapter_model.safetensors
t "an adapter that cannot be written" 74 mm-train llava-instruct --model "$S/model" --images "$S/images" --lora 2 -o s7 \
    --steps 1 -B 2 "$S/instruct.json"
not_there "leaves no model without it" s7/model.safetensors
t "named one by one" 0 sh -c "grep -c '\"language_model.model.layers.*_proj\"' s4/adapter/adapter_config.json"
same "in its configuration" out 14
t "that mm-llm takes" 0 sh -c "mm-encode -m s4 '$S/images/a.png' | mm-project -m s4 | mm-llm -m s4 --lora s4/adapter -n 4 -t 0 -p '<image>'"
t "one goes on from it" 0 mm-train llava-instruct --model s4 --adapter s4/adapter --images "$S/images" -o s5 \
    --steps 2 -B 2 "$S/instruct.json"
cp -r s4/adapter pattern
sed -i 's/"r": 2,/&"alpha_pattern":{"q_proj":9},/' pattern/adapter_config.json
t "not from one of several alphas" 69 mm-train llava-instruct --model s4 --adapter pattern --images "$S/images" -o x \
    --steps 2 -B 2 "$S/instruct.json"
has "which is told" err 'pattern/adapter_config.json: going on from several ranks or alphas'
t "a .bin is opened" 65 mm-train llava-instruct --model s4 --adapter "$GOLDEN/llama/lora-bin/adapter" --images "$S/images" \
    -o x --steps 2 -B 2 "$S/instruct.json"
has "though it fits another model" err "adapter_model.bin: tensor '.*' is missing"
mm-quantize --type q8_0 -o lm.gguf "$S/model" 2>/dev/null
t "beside a quantised language model" 0 mm-train llava-instruct --model lm.gguf --vision-tower "$S/model" \
    --images "$S/images" --lora 2 --lr 0.01 --template v1 -o s6 --steps 2 -B 2 "$S/instruct.json"
t "connector and adapter alone are written" 0 sh -c "mm-ls s6/model.safetensors | grep -c mm_projector;
    mm-ls s6/adapter/adapter_model.safetensors | grep -c 'model.model.layers.*lora'"
same "of it" out "4
28"
t "and fit together" 0 sh -c "mm-encode -m s6 --vision-tower '$S/model' '$S/images/a.png' | mm-project -m s6 | mm-llm -m lm.gguf --lora s6/adapter -n 4 -t 0 -p '<image>'"
# --- contrastive
C=$GOLDEN/train/contrastive
mm-pack "$C/inputs.safetensors" | mm-cut -w 'name=images' -a kind=pixels >px.mmt
mm-pack "$C/inputs.safetensors" | mm-cut -w 'name=tokens' -a kind=tokens >ids.mmt
t "pairs from a stream" 0 sh -c "cat px.mmt ids.mmt | mm-train contrastive -m '$C/model' --steps 5 -B 6 --lr 0.004 -o clip1 -"
t "a tower that mm-encode takes" 0 sh -c "mm-encode -m clip1 --pool '$A/images/a.png' | mm-ls"
cat >clip.json <<'END'
{ "model_type": "clip", "projection_dim": 16,
  "text_config": { "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "max_position_embeddings": 16, "hidden_act": "gelu", "eos_token_id": 289 },
  "vision_config": { "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "image_size": 28, "patch_size": 14, "hidden_act": "gelu" } }
END
t "a new CLIP from LLaVA JSON" 0 mm-train contrastive --config clip.json --tokenizer ctok --images "$A/images" \
    --steps 30 -B 6 --lr 0.005 -o clip2 "$A/pretrain.json"
t "learns them" 0 awk -F '[:,]' '{ l = $4 } END { exit !(l < 1) }' clip2/log.jsonl
t "a LLaVA of the two" 0 mm-train llava-align -m new2 --vision-tower clip2 --images "$A/images" --steps 2 -B 3 \
    -o joined "$A/pretrain.json"
t "is whole" 0 sh -c "mm-encode -m joined '$A/images/a.png' | mm-project -m joined | mm-llm -m joined -n 3 -t 0 -p '<image>'"
t "unequal numbers" 65 sh -c "cat px.mmt ids.mmt ids.mmt | mm-train contrastive -m '$C/model' -o x -"
has "both are named" err '30 pictures and 60 texts'
t "no text tower" 69 mm-train contrastive -m "$A/model" --images "$A/images" -o x "$A/pretrain.json"
sed 's/"patch_size": 14/& , "initializer": "neighbours"/' clip.json >near.json
t "a tower that looks at neighbours" 0 mm-train contrastive --config near.json --tokenizer ctok --images "$A/images" \
    --steps 30 -B 6 --lr 0.005 -o near "$A/pretrain.json"
t "learns them too" 0 awk -F '[:,]' '{ l = $4 } END { exit !(l < 1) }' near/log.jsonl
t "and mm-encode takes it" 0 sh -c "mm-encode -m near --pool '$A/images/a.png' | mm-ls"
sed 's/"patch_size": 14/& , "initializer": "luck"/' clip.json >luck.json
t "no such initializer" 65 mm-train contrastive --config luck.json --tokenizer ctok --images "$A/images" -o x "$A/pretrain.json"
has "it is named" err 'no initializer luck'
# --- regions
R=$GOLDEN/train/regions
regions() { # OUT OPTION...: as the reference was run
    out=$1
    shift
    mm-train regions -m "$R/model" --images "$R" --no-shuffle -B 4 --lr 0.004 --weight-decay 0.1 --betas 0.9,0.98 \
        --warmup 0 --schedule constant --steps 4 -o "$out" "$@"
}
t "boxes and phrases" 0 regions r1 -j 2 "$R/regions.json"
"$PYTHON" - "$R/expected.json" r1/log.jsonl >out <<'P'
import json, sys
want = json.load(open(sys.argv[1]))
got = [json.loads(l) for l in open(sys.argv[2])]
print(all(abs(g["loss"] / w - 1) < 2e-6 for g, w in zip(got, want["losses"])), len(got), got[0]["tokens"] == want["pairs"])
P
same "losses are the reference's" out "True 4 True"
mm-pack "$R/expected.safetensors" >want.mmt
mm-pack r1/model.safetensors >got.mmt
t "and weights" 0 sh -c "mm-diff -r 1e-4 want.mmt got.mmt | grep -v 'only in B' >differ; ! grep '^[-+!]' differ"
t "by one thread" 0 regions r2 -j 1 "$R/regions.json"
t "the same bytes" 0 cmp r1/model.safetensors r2/model.safetensors
t "a tower that mm-encode takes" 0 sh -c "mm-encode -m r1 --pool '$R/images/1.png' | mm-ls"
sed 's/{"id": *\([0-9]\)/\n{"id": \1/g; s/^\[//; s/\]$//' "$R/regions.json" | sed '/^$/d; s/, *$//' >lines.jsonl
t "as JSON lines" 0 regions r3 -j 2 lines.jsonl
t "the same bytes" 0 cmp r1/model.safetensors r3/model.safetensors
mkdir -p vg
mm-unpack -o vg/7.jpg "$R/images/1.png" 2>/dev/null || cp "$R/images/1.png" vg/7.jpg
echo '[{"id":7,"regions":[{"x":1,"y":2,"width":9,"height":9,"phrase":"red"},{"x":1,"y":2,"width":5,"height":9,"phrase":"blue"}]}]' >vg.json
t "pictures by their numbers, as Visual Genome has them" 0 mm-train regions -m "$R/model" --images vg --steps 1 -B 1 -o r4 vg.json
bad_regions() { # NAME STATUS TEXT MESSAGE
    printf '%s' "$3" >bad.json
    t "$1" "$2" regions x bad.json
    has "says what is wrong" err "$4"
}
bad_regions "an array that is cut" 65 '[{"id":1,"image":"images/1.png","regions":[]}' 'bad.json: byte 45: the array'
bad_regions "no regions at all" 65 '[]' 'no regions'
bad_regions "a box without width" 65 '[{"id":1,"regions":[{"x":1,"y":2,"width":0,"height":9,"phrase":"a"}]}]' 'element 1: region 1'
bad_regions "no phrase" 65 '[{"id":1,"regions":[{"x":1,"y":2,"width":3,"height":9}]}]' 'element 1: region 1'
bad_regions "a box that is no number" 65 '[{"id":1,"regions":[{"x":"1","y":2,"width":3,"height":9,"phrase":"a"}]}]' 'x: not a number'
bad_regions "no picture" 65 '[{"regions":[{"x":1,"y":2,"width":3,"height":9,"phrase":"a"}]}]' 'an id or an image'
bad_regions "a picture that is not there" 66 '[{"id":5,"regions":[{"x":1,"y":2,"width":3,"height":9,"phrase":"a"}]}]' '5.jpg'
t "no directory of pictures" 64 mm-train regions -m "$R/model" -o x "$R/regions.json"

t "pictures are needed" 64 mm-train llava-align -m "$A/model" -o x "$A/pretrain.json"
t "and must be there" 66 mm-train llava-align -m "$A/model" --images . -o x "$A/pretrain.json"
cp "$S/instruct.json" more.json
echo '[{"id":"late","image":"no.png","conversations":[{"from":"human","value":"<image>"},{"from":"gpt","value":"A cat."}]}]' >late.json
t "one of many that is not there" 66 mm-train llava-instruct -m "$S/model" --images "$S/images" --no-shuffle -B 1 -o early \
    more.json late.json
not_there "is told before the first update" early/log.jsonl
t "or has no features" 65 mm-train llava-instruct -m "$S/model" --features f.mmt --no-shuffle -B 1 -o early more.json late.json
sed 's/no.png/a.png/; s/<image>/What?/' late.json >unmarked.json
t "and a sample that is none" 65 mm-train llava-instruct -m "$S/model" --images "$S/images" --no-shuffle -B 1 -o early \
    more.json unmarked.json
has "by its number in its file" err "unmarked.json: sample 1 (id 'late'): 0 <image>"
not_there "before the first update too" early/log.jsonl
t "a text that no answer is left of" 65 mm-train llava-instruct -m "$S/model" --images "$S/images" --no-shuffle -B 1 \
    --context 8 -o early more.json
has "is named" err "more.json: sample 1 (id '000000000101'): nothing of it is trained: its answers are behind --context 8"
echo '[{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}]' >blind.json
t "a text without picture is no pair" 65 mm-train contrastive -m clip2 --images . -o x blind.json
has "its file is named" err "blind.json: sample 1 (id ''): a picture and an answer"
t "no picture of a pair" 66 mm-train contrastive -m clip1 --images . -o x "$A/pretrain.json"
t "no projector" 69 mm-train llava-align -m "$TOP/tests/golden/llama/mha/model" --images . -o x "$A/pretrain.json"
t "adapter and rank" 64 mm-train llava-instruct --model s4 --adapter s4/adapter --lora 3 --images . -o x "$S/instruct.json"

# --- refused
t "no objective" 64 mm-train
t "unknown objective" 64 mm-train learn -m "$L/model" -o x t.mmt
t "no directory" 64 mm-train lm -m "$L/model" t.mmt
t "no data" 64 lm x
t "no model" 64 mm-train lm -o x t.mmt
t "model and configuration" 64 lm x --config config.json t.mmt
t "bad betas" 64 lm x --betas 0.9 t.mmt
t "bad schedule" 64 lm x --schedule round t.mmt
t "no such file" 66 lm x no.mmt
t "no such model" 66 mm-train lm -m ./no -o x t.mmt
head -c 3000 t.mmt >cut.mmt
t "truncated data" 65 lm x cut.mmt
t "text for a model without tokenizer" 69 lm x story.txt
printf '{"tex":"a"}\n' >bad.jsonl
t "JSON lines without text" 65 mm-train lm -m "$TOK" -o x bad.jsonl
has "the line is named" err 'bad.jsonl: line 1: no string "text"'
printf '\n{"text":"Once upon"}\r\n\r\n{"text":"a time"}' >odd.jsonl
printf '{"text":"Once upon"}\n{"text":"a time"}\n' >even.jsonl
t "JSON lines with empty ones" 0 mm-train lm --config config.json --tokenizer tok --steps 2 -o odd odd.jsonl
mm-train lm --config config.json --tokenizer tok --steps 2 -o even even.jsonl
t "are the same" 0 cmp odd/model.safetensors even/model.safetensors
printf '{ "model_type": "bert" }' >bert.json
t "another kind of model" 69 mm-train lm --config bert.json -o x t.mmt
t "a loss that is no number" 65 lm inf --steps 20 -B 4 --lr 1e3 --optimizer sgd --clip 0 --warmup 0 t.mmt
has "is named" err 'the loss is'
t "a weight that is none" 65 lm fit2 --steps 1 -B 4 --eps 0 --warmup 0 t.mmt
has "is named too" err "update 1: 'model.embed_tokens.weight' has a weight that is no number"
not_there "no model of it is written" fit2/model.safetensors
not_there "and no checkpoint" fit2/state.safetensors
t "a full disk" 74 sh -c "ulimit -f 1; trap '' XFSZ; mm-train lm -m '$L/model' -o full --steps 1 t.mmt"
not_there "leaves no half checkpoint" full/state.safetensors
finish
