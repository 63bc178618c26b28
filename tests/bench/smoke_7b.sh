#!/bin/sh
# smoke_7b: a LLaVA of 7B shape with random Q4_0 weights answers about a picture within
# 6 GiB resident, and opens within 0.3 s with a warm cache.  Takes 5 GB below build/.
set -eu
cd "$(dirname "$0")/../.."
PATH=$PWD/build/bin:$PATH
python=${PYTHON:-/usr/bin/python3}
dir=build/bench
make_model=build/release/tests/bench/make_model
mkdir -p $dir
[ -e $dir/7b-q4_0.gguf ] || $make_model 7b q4_0 $dir/7b-q4_0.gguf
[ -e $dir/vit-l-336-f16.gguf ] || $make_model vit-l-336 f16 $dir/vit-l-336-f16.gguf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat $dir/7b-q4_0.gguf >/dev/null

# measure NAME COMMAND: "wall S rss MiB" of its last line of standard error
measure() {
    name=$1
    shift
    "$python" tests/bench/measure.py "$@" 2>"$work/err"
    set -- $(tail -1 "$work/err")
    echo "$name: $2 s, $4 MiB resident at most" >&2
    awk -v rss="$4" 'BEGIN { exit rss > 6144 }' || { echo "$name: above 6 GiB" >&2; exit 1; }
}
measure "7b mm-encode" mm-encode -m $dir/vit-l-336-f16.gguf tests/golden/image/clip-224/picture.png >"$work/f"
measure "7b mm-project" mm-project -m $dir/vit-l-336-f16.gguf "$work/f" >"$work/e"
measure "7b mm-llm, 576 picture rows, 8 tokens" mm-llm -m $dir/7b-q4_0.gguf -n 8 --ignore-eos -t 0 --json "$work/e" >"$work/a"

# no pass over the weights before the prompt: one token of prompt, no answer, warm cache
"$python" -c 'import numpy, sys; numpy.save(sys.argv[1], numpy.array([1], dtype=numpy.int32))' "$work/one.npy"
mm-pack --kind tokens "$work/one.npy" >"$work/one.mmt"
for i in 1 2; do # the second time with warm pages
    "$python" tests/bench/measure.py mm-llm -v -m $dir/7b-q4_0.gguf -n 0 --json "$work/one.mmt" 2>"$work/err" >/dev/null
done
prompt=$(sed -n 's/.*prefill: 1 positions in \([0-9.]*\) ms.*/\1/p' "$work/err")
tail -1 "$work/err" | awk -v ms="$prompt" '{ open = $2 - ms / 1000
    printf "7b opened in %.3f s (one position took %.3f s)\n", open, ms / 1000
    exit open > 0.3 }' || { echo "7b: opens in more than 0.3 s" >&2; exit 1; }
