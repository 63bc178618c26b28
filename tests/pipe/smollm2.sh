# smollm2: the real model answers as the reference does.  smollm2.jsonl holds greedy ids,
# log-probabilities and texts of the transformers package, f32, on the dequantised weights.
. "$TOP/tests/pipe/lib.sh"
if ! mm-llm -q -m smollm2 -n 0 -p x >/dev/null 2>&1; then
    skip "smollm2 answers as the reference" "smollm2 is not installed (mm-get smollm2)"
    finish
fi
cat >check.py <<'END'
import json, sys
want = [json.loads(l) for l in open(sys.argv[1])]
got = [json.loads(l) for l in open("answers")]
bad = len(want) != len(got)
for w, g in zip(want, got):
    if w["tokens"] != g["tokens"] or w["text"] != g["text"]:
        print("#", w["prompt"], g["text"])
        bad = True
    elif max(abs(a - b) for a, b in zip(w["logprobs"], g["logprobs"])) > 1e-4:
        print("#", w["prompt"], "log-probabilities differ")
        bad = True
sys.exit(bad)
END
system='<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n'
sed 's/^{"prompt": "\([^"]*\)".*/\1/' "$TOP/tests/pipe/smollm2.jsonl" | while read -r q; do
    printf '{"source":"q","prompt":"%s<|im_start|>user\\n%s<|im_end|>\\n<|im_start|>assistant\\n"}\n' "$system" "$q"
done >prompts.jsonl
# with the sanitizers the question alone: fifteen answers take minutes there
if [ "${CONFIG:-release}" = release ]; then
t "fifteen prompts" 0 mm-llm -m smollm2 --exact --prompts prompts.jsonl -n 48 -t 0 --json
cp out answers
t "as the reference" 0 "${PYTHON:-python3}" check.py "$TOP/tests/pipe/smollm2.jsonl"
fi
t "a question" 0 mm-llm -m smollm2 --template chatml -p 'What is the capital of France? Answer in one sentence.'
same "and its answer" out 'The capital of France is Paris.'

# --- a state of many positions: what follows is rounded as if all came at once
i=0
while [ $i -lt 60 ]; do
    printf 'The quick brown fox number %d jumps over the lazy dog. ' $i
    i=$((i + 1))
done >long.txt
{ cat long.txt; printf 'What is'; } >all.txt
t "a long prompt" 0 sh -c 'mm-llm -m smollm2 --prompt-file all.txt -n 8 --json -v | sed "s/, .ms.*//" >cold'
cold=$(sed -n 's/.* positions in \([0-9]*\)\..*/\1/p' err)
t "saved" 0 mm-llm -m smollm2 --prompt-file long.txt -n 0 --save-state s.mmt
t "continued" 0 sh -c 'mm-llm -m smollm2 --load-state s.mmt -p "What is" -n 8 --json -v | sed "s/, .ms.*//" >warm'
cmp -s cold warm; ok "to the last digit" $?
warm=$(sed -n 's/.* positions in \([0-9]*\)\..*/\1/p' err)
[ "$((warm * 10))" -le "$cold" ]; ok "in a tenth of the time" $?
finish
