#!/bin/sh
# smoke_7b: a LLaVA of 7B shape with random Q4_0 weights answers about a picture within
# 6 GiB resident; with 512 positions within 1.15 times its file.  With a warm cache it is
# ready in 3 s, the packing of the weights (before the second pass) included, from a
# packed file in 1 s, and both answer the same.  Takes 9 GB below build/.
set -eu
cd "$(dirname "$0")/../.."
PATH=$PWD/build/bin:$PATH
python=${PYTHON:-/usr/bin/python3}
dir=build/bench
make_model=build/release/tests/bench/make_model
mkdir -p $dir
[ -e $dir/7b-q4_0.gguf ] || $make_model 7b q4_0 $dir/7b-q4_0.gguf
[ -e $dir/vit-l-336-f16.gguf ] || $make_model vit-l-336 f16 $dir/vit-l-336-f16.gguf
[ -e $dir/7b-q4_0-packed.gguf ] || mm-quantize -q --pack -o $dir/7b-q4_0-packed.gguf $dir/7b-q4_0.gguf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

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

ids() { # ids COUNT: a stream of that many token ids
    "$python" -c 'import numpy, sys; numpy.save(sys.argv[2], (numpy.arange(int(sys.argv[1]), dtype=numpy.int32) * 37) % 31000 + 5)' "$1" "$work/$1.npy"
    mm-pack --kind tokens "$work/$1.npy" >"$work/$1.mmt"
}
ids 1
ids 504

# ready FILE LIMIT: seconds to the second token, less two passes of one position, each as
# long as the packed file's first
ready() {
    cat "$1" >/dev/null
    for i in 1 2; do # the second time with warm pages
        "$python" tests/bench/measure.py mm-llm -v -m "$1" -n 2 --ignore-eos --json "$work/1.mmt" 2>"$work/err" >/dev/null
    done
    : "${pass:=$(sed -n 's/.*prefill: 1 positions in \([0-9.]*\) ms.*/\1/p' "$work/err")}"
    tail -1 "$work/err" | awk -v ms="$pass" -v name="${1##*/}" -v limit="$2" '{ t = $2 - 2 * ms / 1000
        printf "%s: ready in %.2f s (second token after %.2f s)\n", name, t, $2
        exit t > limit }' || { echo "$1: ready in more than $2 s" >&2; exit 1; }
}
ready $dir/7b-q4_0-packed.gguf 1
ready $dir/7b-q4_0.gguf 3

# 504 positions and 8 tokens
for f in $dir/7b-q4_0.gguf $dir/7b-q4_0-packed.gguf; do
    "$python" tests/bench/measure.py mm-llm -m $f -c 512 -n 8 --ignore-eos -t 0 --json "$work/504.mmt" 2>"$work/err" |
        sed 's/"ms":[^,}]*//' >"$work/${f##*/}.json"
    tail -1 "$work/err" | awk -v name="${f##*/}" -v bytes="$(wc -c <$f)" '{ r = $4 * 1048576 / bytes
        printf "%s: %d MiB resident with 512 positions, %.3f of the file\n", name, $4, r
        exit r > 1.15 }' || { echo "$f: more than 1.15 of the file resident" >&2; exit 1; }
done
cmp "$work/7b-q4_0.gguf.json" "$work/7b-q4_0-packed.gguf.json"
