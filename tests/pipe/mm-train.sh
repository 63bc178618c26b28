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
t "a checkpoint is not overwritten" 64 lm whole --epochs 8 t.mmt
has "it says how to go on" err 'go on with --resume'
t "nor taken by another run" 65 lm whole --epochs 8 -B 2 --accumulate 2 --ema 0.9 --lr 0.005 --resume t.mmt
has "the setting that differs is named" err "made with rates '0.004 0 0', now it is '0.005 0 0'"
printf 'x' | dd of=cut/state.safetensors bs=1 seek=3 conv=notrunc 2>/dev/null
t "a broken checkpoint" 65 lm cut --epochs 8 -B 2 --accumulate 2 --ema 0.9 --lr 0.004 --resume t.mmt

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

# --- parts
t "some weights alone" 0 lm part --steps 3 -B 4 --train '*mlp*' --freeze '*.1.*' --lr 0.01 t.mmt
t "the others stay" 1 sh -c "mm-pack part/model.safetensors >p.mmt;
    mm-pack '$L/model/model.safetensors' | mm-diff - p.mmt >d; grep -q 'layers.0.mlp.up' d &&
    ! grep -q 'layers.1.mlp.up.*differ' d; mm-pack '$L/model/model.safetensors' | mm-diff - p.mmt"
t "nothing to train" 64 lm none --train 'no.such*' t.mmt

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
printf '{ "model_type": "bert" }' >bert.json
t "another kind of model" 69 mm-train lm --config bert.json -o x t.mmt
t "a loss that is no number" 65 lm inf --steps 20 -B 4 --lr 1e3 --optimizer sgd --clip 0 --warmup 0 t.mmt
has "is named" err 'the loss is'
t "a full disk" 74 sh -c "ulimit -f 1; trap '' XFSZ; mm-train lm -m '$L/model' -o full --steps 1 t.mmt"
not_there "leaves no half checkpoint" full/state.safetensors
finish
