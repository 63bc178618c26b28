# llava-hf: transformers opens a LLaVA that mm-train made, and the one that ships, and
# gives the tokens of our pipeline.  Needs a python3 with torch and transformers (MM_TORCH).
. "$TOP/tests/pipe/lib.sh"
python=${MM_TORCH:-python3}
shipped=$TOP/lib/models/small/llava
if ! "$python" "$TOP/tests/pipe/llava_hf.py" --check 2>/dev/null; then
    skip "transformers gives the same tokens" "$python has no transformers"
    finish
fi

# both MODEL QUESTION PICTURE...: our tokens in ./ours, theirs in ./theirs
both() {
    model=$1
    question=$2
    shift 2
    mm-encode --exact -m "$model" "$@" | mm-project --exact -m "$model" |
        mm-llm --exact -m "$model" --template auto -t 0 -n 32 --json -p "<image>\\n$question" |
        sed 's/.*\("prompt_tokens".*\], "text"\).*/{\1/; s/, "text"/}/' >ours &&
        "$python" "$TOP/tests/pipe/llava_hf.py" "$model" "$question" "$@" >theirs
}

# --- a tiny one, from nothing; large random weights answer each picture differently
mm-synth -n 40 --tier shapes --format llava --turns qa,caption -o d
mm-synth -n 300 --format text --tier shapes -o text.txt
mm-train tokenizer --vocab 400 --lines -o tok text.txt
mm-train tokenizer --style clip --vocab 400 --lines -o ctok text.txt
cat >lm.json <<'END'
{ "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64,
  "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
  "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "initializer_range": 0.3, "tie_word_embeddings": false }
END
cat >clip.json <<'END'
{ "model_type": "clip", "projection_dim": 16,
  "text_config": { "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "max_position_embeddings": 64, "hidden_act": "gelu" },
  "vision_config": { "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 2, "image_size": 64, "patch_size": 16, "hidden_act": "quick_gelu" } }
END
sed 's/"patch_size": 8/"patch_size": 16/' "$TOP/scripts/train/llava/processor_config.json" >tok/processor_config.json
cp "$TOP/scripts/train/llava/preprocessor_config.json" tok
sed 's/["\\]/\\&/g; s/.*/{ "chat_template": "&" }/' "$TOP/scripts/train/llava/chat_template.jinja" >tok/chat_template.json
mm-train lm -q --config lm.json --tokenizer tok --lines text.txt -o lm --steps 1 --context 64
mm-train contrastive -q --config clip.json --tokenizer ctok --images d --steps 3 -B 8 -o clip d/llava.json
t "a LLaVA" 0 mm-train llava-instruct -q -m lm --vision-tower clip --images d --steps 3 -B 4 \
    --lr 0.003 --template llava_hf -o llava d/llava.json
t "opened by transformers" 0 both llava 'Describe the picture.' d/images/*000[1-4].png
cmp -s ours theirs
ok "gives the same tokens" $?
[ "$(sort -u theirs | wc -l)" -gt 1 ]
ok "not always the same ones" $?

# --- the one that ships
if [ -e "$shipped/config.json" ]; then
    t "the shipped one opened by transformers" 0 both "$shipped" 'Describe this picture in one sentence.' d/images/*00[01]?.png
    cmp -s ours theirs
    ok "gives the same tokens for twenty captions" $?
    t "asked a question" 0 both "$shipped" 'How many objects are there?' d/images/*00[01]?.png
    cmp -s ours theirs
    ok "too" $?
else
    skip "the shipped LLaVA opened by transformers" "there is none"
fi
finish
