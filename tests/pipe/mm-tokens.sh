#!/bin/sh
# mm-tokens: text to ids and back, line by line, pieces, counts, records, refusals.
. "$TOP/tests/pipe/lib.sh"

T=$GOLDEN/tokenizer
sp=$T/sp_mistral_v1/model/tokenizer.model
hf=$T/hf_llama_legacy/model

# the model as a bare name in $MM_MODELS
MM_MODELS=$T/hf_llama_legacy; export MM_MODELS

printf 'Hello world' >hello
printf 'Hello </s> world' >marked
t "a file" 0 mm-tokens -m "$sp" hello
same "gives ids on one line" out "1 22557 1526"
t "standard input" 0 sh -c "mm-tokens -m '$sp' <hello"
same "too" out "1 22557 1526"
t "- is standard input" 0 sh -c "mm-tokens -m '$sp' hello - <hello"
same "each operand is a text" out "$(printf '1 22557 1526\n1 22557 1526')"
t "a directory, named in MM_MODELS" 0 mm-tokens -m model hello
same "gives the same" out "1 22557 1526"
t "a GGUF" 0 mm-tokens -m "$T/gguf_llama/model/vocab.gguf" hello
same "gives the same" out "1 22557 1526"
t "--no-special" 0 mm-tokens --no-special -m "$sp" hello
same "adds nothing" out "22557 1526"
t "an empty text" 0 mm-tokens --no-special -m "$sp" /dev/null
same "has no ids" out ""

t "a bare tokenizer.model" 0 mm-tokens -m "$sp" marked
same "does not parse" out "1 22557 1867 28713 28767 1526"
t "--parse" 0 mm-tokens --parse -m "$sp" marked
same "does" out "1 22557 28705 2 28705 1526"
t "a model directory" 0 mm-tokens -m "$hf" marked
same "parses" out "1 22557 28705 2 28705 1526"
t "--no-parse" 0 mm-tokens --no-parse -m "$hf" marked
same "does not" out "1 22557 1867 28713 28767 1526"

t "--count" 0 mm-tokens --count -m "$sp" hello
same "counts" out "3"
t "--pieces" 0 mm-tokens --pieces -m "$sp" hello
printf '1\t"<s>"\n22557\t"\342\226\201Hello"\n1526\t"\342\226\201world"\n' | cmp -s - out
ok "names the pieces" $?

printf '"Hello world"\n\n"a\\u0000b"\n' >lines
t "--json" 0 mm-tokens --json -m "$sp" lines
same "answers line by line" out "$(printf '[1,22557,1526]\n[1,264,3,28726]')"
t "--json --pieces" 0 mm-tokens --json --pieces -m "$sp" lines
has "gives arrays of pieces" out '^\["<s>",".*Hello",".*world"\]$'
mm-tokens --json -m "$sp" lines >ids
t "--json -d" 0 mm-tokens --json -d -m "$sp" ids
same "is the way back" out "$(printf '"Hello world"\n"a\\u0000b"')"
t "-d" 0 sh -c "echo '[1, 22557 1526]' | mm-tokens -d -m '$sp'"
printf 'Hello world' | cmp -s - out
ok "prints the text and nothing else" $?
t "a byte that is no character" 0 sh -c "echo 22557 243 | mm-tokens -d -m '$sp'"
printf 'Hello\357\277\275' | cmp -s - out
ok "is U+FFFD" $?
echo '1 22557 2' >with
t "special tokens of a directory" 0 mm-tokens -d -m "$hf" with
printf '<s> Hello</s>' | cmp -s - out
ok "are shown" $?
t "--no-special -d" 0 mm-tokens -d --no-special -m "$hf" with
printf 'Hello' | cmp -s - out
ok "leaves them out" $?

# an answer comes while the input is still open
mkfifo in
mm-tokens --json -m "$sp" <in | cat >live &
exec 3>in
echo '"Hello world"' >&3
i=0
while [ ! -s live ] && [ $i -lt 100 ]; do
    sleep 0.1
    i=$((i + 1))
done
same "a line is answered at once" live "[1,22557,1526]"
exec 3>&-
wait

mm-pack hello >hello.mmt
t "-S" 0 sh -c "mm-tokens -S -m '$sp' hello.mmt >tokens.mmt && mm-ls --json tokens.mmt"
has "text becomes tokens" out '"dtype":"i32","shape":\[3\].*"kind":"tokens"'
t "-S -d" 0 sh -c "mm-tokens -S -d -m '$sp' tokens.mmt >back.mmt && mm-ls --json back.mmt"
has "and back" out '"type":"text".*"kind":"text"'
grep -aq 'Hello world' back.mmt
ok "to the same words" $?
head -c 100 hello.mmt >half.mmt
t "a truncated stream" 65 mm-tokens -S -m "$sp" half.mmt
mm-pack marked | mm-tokens -S -m "$hf" >m.mmt
mm-tokens -S -d -m "$hf" m.mmt >m2.mmt
grep -aq 'Hello </s> world' m2.mmt
ok "text records are not parsed" $?

printf 'a\377b' >bad
t "text that is not UTF-8" 65 mm-tokens -m "$sp" bad
same "is named with its place" err "mm-tokens: bad: text is not UTF-8 at byte 1"
t "an id outside the vocabulary" 65 sh -c "echo 1 32000 | mm-tokens -d -m '$sp'"
same "is named" err "mm-tokens: standard input: token id 32000 is not in the vocabulary (32000)"
t "no id" 65 sh -c "echo 1 two | mm-tokens -d -m '$sp'"
same "is named" err "mm-tokens: standard input: byte 2: no token id"
t "a negative id" 65 sh -c "echo -1 | mm-tokens -d -m '$sp'"
t "a line that is no JSON" 65 sh -c "printf '\"a\"\nb\n' | mm-tokens --json -m '$sp'"
same "after a good one" out "[1,264]"
has "is named by its number" err '^mm-tokens: standard input: line 2: '
t "a line that is no string" 65 sh -c "echo 3 | mm-tokens --json -m '$sp'"
t "a line that is no array" 65 sh -c "echo 3 | mm-tokens -d --json -m '$sp'"
t "an element that is no id" 65 sh -c "echo '[1,null]' | mm-tokens -d --json -m '$sp'"
same "is named" err "mm-tokens: standard input: line 1: element 1: no token id"
head -c 1000 "$sp" >cut.model
t "a cut model" 65 mm-tokens -m ./cut.model hello
has "is named with its place" err '^mm-tokens: ./cut.model: offset [0-9]*: '
mkdir empty
t "a directory without a tokenizer" 66 mm-tokens -m ./empty hello
t "a model that is not there" 66 mm-tokens -m ./none hello
t "a text that is not there" 66 mm-tokens -m "$sp" none

t "no model" 64 mm-tokens hello
has "prints the synopsis" err '^usage: mm-tokens\|mm-tokens \['
t "--parse with --no-parse" 64 mm-tokens --parse --no-parse -m "$sp"
t "--pieces with --count" 64 mm-tokens --pieces --count -m "$sp"
t "-d with --count" 64 mm-tokens -d --count -m "$sp"
t "-d with --parse" 64 mm-tokens -d --parse -m "$sp"
t "-S with --json" 64 mm-tokens -S --json -m "$sp"
t "a closed standard output" 74 sh -c "mm-tokens -m '$sp' hello >&-"
if [ -w /dev/full ]; then
    t "a full disk" 74 sh -c "mm-tokens -m '$sp' hello >/dev/full"
fi
t "--help" 0 mm-tokens --help
t "--version" 0 mm-tokens --version
finish
