#!/bin/sh
# scripts: mm-caption, mm-vqa, mm-chat and batch.mk are the pipelines they say.
. "$TOP/tests/pipe/lib.sh"

case=$GOLDEN/llava/v15_hf
export MM_MODEL="$case/model"
s=$TOP/scripts

# the pipeline by hand: PICTURE PROMPT OPTIONS...
by_hand() {
    picture=$1
    prompt=$2
    shift 2
    mm-encode -m "$MM_MODEL" "$picture" | mm-project -m "$MM_MODEL" |
        mm-llm -m "$MM_MODEL" -p "$prompt" -t 0 -n 512 "$@"
}

by_hand "$case/cat.png" 'USER: <image>\nIs it a \\cat? ASSISTANT:' >want
t 'mm-vqa' 0 "$s/mm-vqa" "$case/cat.png" 'Is it a \cat?'
[ -s want ] && cmp -s want out
ok 'prints the answer of the pipeline, a backslash as it stands' $?
by_hand "$case/cat.png" '[INST] <image>\nWhy? [/INST]' >want
t 'mm-vqa with another prompt' 0 "$s/mm-vqa" -p '[INST] <image>\n%s [/INST]' "$case/cat.png" 'Why?'
[ -s want ] && cmp -s want out
ok 'puts the question where %s is' $?
t 'mm-vqa: a prompt without %s' 64 "$s/mm-vqa" -p '<image>' "$case/cat.png" 'Why?'
t 'mm-vqa: no question' 64 "$s/mm-vqa" "$case/cat.png"
t 'mm-vqa: no such picture' 66 "$s/mm-vqa" nothing.png 'Why?'
same 'is named' err 'mm-vqa: nothing.png: No such file or directory'
t 'mm-vqa: the picture on standard input' 0 sh -c "'$s/mm-vqa' - 'Why?' <'$case/cat.png'"
cp out want
t 'mm-vqa: an odd name' 0 sh -c "cp '$case/cat.png' './-é \$x.png' && '$s/mm-vqa' -- '-é \$x.png' 'Why?'"
cmp -s want out
ok 'the same answer' $?
for script in mm-vqa mm-caption mm-chat; do
    for help in -h --help; do
        t "$script $help" 0 "$s/$script" $help
        has 'prints how it is used' out "^usage: $script "
    done
    t "$script: an unknown option" 64 "$s/$script" -x "$case/cat.png" 'Why?'
    same 'prints how it is used, and nothing else' err "$(cat out; "$s/$script" -h)"
done
MM_MODEL=nowhere t 'mm-vqa: no such model' 66 "$s/mm-vqa" "$case/cat.png" 'Why?'
has 'is said' err "mm-llm: model 'nowhere': not here, nor in "
MM_MODEL=$case/model

t 'mm-caption of three pictures' 0 "$s/mm-caption" "$case/cat.png" "$case/cup.png" "$case/cat.png"
[ "$(wc -l <out)" = 3 ]
ok 'three lines' $?
[ "$(sed -n 1p out)" = "$(sed -n 3p out)" ]
ok 'the same for the same picture' $?
t 'mm-caption: no picture' 64 "$s/mm-caption"
t 'mm-caption: no such picture' 66 "$s/mm-caption" "$case/cat.png" nothing.png
t 'mm-caption: a text is no picture' 65 "$s/mm-caption" "$TOP/Makefile"

echo 'What is this?' >turns
t 'mm-chat about a picture' 0 "$s/mm-chat" --template vicuna_v1 "$case/cat.png" <turns
mm-encode -m "$MM_MODEL" "$case/cat.png" | mm-project -m "$MM_MODEL" >cat.mmt
mm-llm -m "$MM_MODEL" --template vicuna_v1 --chat cat.mmt <turns | cmp -s - out
ok 'answers as mm-llm does' $?
t 'mm-chat without one' 0 "$s/mm-chat" --template vicuna_v1 <turns
t 'mm-chat: an unknown option' 64 "$s/mm-chat" --temple x
t 'mm-chat: no such picture' 66 "$s/mm-chat" nothing.png
mkdir tmp && mkfifo talk said
TMPDIR=$PWD/tmp "$s/mm-chat" --template vicuna_v1 "$case/cat.png" <talk >said &
chat=$!
exec 4>talk
cat turns >&4
head -c 1 said >first
kill -9 $chat 2>killed
wait $chat 2>killed
exec 4>&-
[ -s first ] && [ -z "$(ls tmp)" ]
ok 'mm-chat: killed, it leaves no file' $?
t 'mm-chat: two pictures' 64 "$s/mm-chat" a.png b.png

# --- the demo, in a tree with and without a model that ships; a language model cannot be had
mkdir -p tree/build tree/scripts tree/lib/models/small tree/tests
ln -s "$MM_BIN" tree/build/bin
ln -s "$GOLDEN" tree/tests/golden
cp "$s/demo.sh" "$s/demo.png" "$s/mm-vqa" "$s/mm-caption" tree/scripts
printf '#!/bin/sh\nexit 69\n' >tree/scripts/mm-get
chmod +x tree/scripts/*
t 'demo without a model' 0 env MM_MODELS=nowhere sh tree/scripts/demo.sh
has 'says so' out 'RANDOM weights: the answer is noise'
has 'goes on without a language model' out '^It cannot be had here'
cp -r "$case/model" tree/lib/models/small/llava
t 'demo with a model' 0 env MM_MODELS=nowhere MM_MODEL=nowhere sh tree/scripts/demo.sh
has 'says what it knows' out 'It knows its small world, not photographs\.$'
has 'captions a picture' out '^\$ mm-caption demo\.png$'
[ "$(grep -c '^\$ mm-vqa demo.png '"'.*?'"'$' out)" = 2 ]
ok 'and answers two questions' $?
sed -n '/^\$ mm-vqa/{n;p;}' out >got
for q in 'What color is the square?' 'How many objects are there?'; do
    "$s/mm-vqa" -m "$case/model" "$s/demo.png" "$q"
done >want
[ -s want ] && cmp -s want got
ok 'as mm-vqa does' $?

"$s/mm-vqa" -m "$case/model" "$s/demo.png" 'Why?' >want
PATH_OF_ALL=$PATH PATH=/usr/bin:/bin
t 'mm-vqa in a tree that was made, PATH without programs' 0 tree/scripts/mm-vqa -m "$case/model" "$s/demo.png" 'Why?'
PATH=$PATH_OF_ALL
cmp -s want out
ok 'runs those of the tree' $?

mkdir pictures
cp "$case/cat.png" "$case/cup.png" pictures
batch() {
    make -s -j2 -f "$TOP/scripts/batch.mk" DIR=pictures MODEL="$MM_MODEL" TOKENS=4 "$@"
}
# names of the results that are newer than a moment ago
fresh() {
    find pictures/captions -newer mark -name '*.*' | sort | sed 's,.*/,,' | paste -s -d ' ' -
}
moment() {
    sleep 1.1
    : >mark
    sleep 0.1
}
t 'batch.mk' 0 batch
[ "$(cut -f1 pictures/captions/captions.tsv | tr '\n' ' ')" = 'cat.png cup.png ' ]
ok 'captions every picture' $?
moment
t 'batch.mk again' 0 batch
fresh >out
same 'does nothing' out ''
cp "$case/cup.png" pictures/cat.png
t 'a changed picture' 0 batch
fresh >out
same 'is done again, the other is not' out 'captions.tsv cat.png.mmt cat.png.txt'
moment
t 'another prompt' 0 batch PROMPT="USER: <image>\\nWhat's this? ASSISTANT:"
fresh >out
same 'keeps the features' out 'captions.tsv cat.png.txt cup.png.txt'
cp "$case/cup.png" "pictures/it's \$5.png"
cp "$case/cup.png" "pictures/it's\$5.png"
t 'odd names' 0 batch
has 'a blank is refused by name' err "it's .5.png: left out"
t 'quotes are not' 0 grep -q "^it's[$]5.png.[^ ]" pictures/captions/captions.tsv
rm pictures/it*
t 'and they go again' 0 batch
cp "$TOP/Makefile" pictures/broken.png
t 'a broken picture' 2 batch
not_there 'leaves no features' pictures/captions/broken.png.mmt
t 'no model' 2 make -s -f "$TOP/scripts/batch.mk" DIR=pictures
finish
