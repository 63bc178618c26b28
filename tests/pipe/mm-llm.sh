# mm-llm: prompts, pictures and token ids in; text, tokens, scores out
. "$TOP/tests/pipe/lib.sh"
L=$GOLDEN/llava/v15_hf
M=$L/model
B=$GOLDEN/llama/beam/model
Q='USER: <image>\nDescribe the cup. ASSISTANT:'
json() { # json EXPRESSION: of the objects of ./out, as Python sees them (d: list)
    "$PYTHON" -c "import json,sys
d=[json.loads(l) for l in open('out')]
sys.exit(not ($1))"
}
PYTHON=${PYTHON:-python3}
mm-encode -m "$M" --exact "$L/cat.png" "$L/cup.png" | mm-project -m "$M" --exact >two.mmt
mm-cut -i 0 two.mmt >cat.mmt

# --- text alone
t "a prompt without a picture" 0 mm-llm -m "$M" -p 'hello' -n 8
cp out hello
[ "$(wc -l <hello)" -ge 1 ]; ok "an answer ends its line" $?
t "standard input is left alone" 0 sh -c "echo rest | { mm-llm -m '$M' -p hello -n 8 >o; cat; }"
same "all of it" out rest
t "the same bytes with any number of threads" 0 sh -c "mm-llm -m '$M' -j 3 -p hello -n 8 | cmp - hello"
printf 'hello' >prompt.txt
t "a prompt from a file" 0 sh -c "mm-llm -m '$M' --prompt-file prompt.txt -n 8 | cmp - hello"
t "JSON" 0 mm-llm -m "$M" -p hello -n 8 --json
json "d[0]['source']==[] and d[0]['item']==0 and len(d[0]['tokens'])==8==len(d[0]['logprobs']) and d[0]['stop']=='length' and d[0]['text'] and d[0]['ms']>0 and d[0]['prompt_tokens']>1"
ok "has every member" $?
t "an escape is read" 0 sh -c "mm-llm -m '$M' -p 'a\\nb' -n 8 --json >1; printf 'a\nb' >p; mm-llm -m '$M' --prompt-file p -n 8 --json >2; sed 's/\"ms.*//' 1 >3; sed 's/\"ms.*//' 2 | cmp - 3"

t "where the time went" 0 mm-llm -m "$M" -p hello -n 8 -v
for k in open tokenize prefill.sampling decode.embed; do
    has "$k" err "^mm-llm: time $k [0-9.]* ms$"
done
for k in prefill.qkv prefill.attention prefill.head decode.o decode.mlp; do
    has "$k" err "^mm-llm: time $k [0-9.]* ms [0-9.]* GFLOP/s [0-9.]* GB/s$"
done
has "and in all" err '^mm-llm: prefill: [0-9]* positions in [0-9.]* ms ([0-9.]*/s), 0 reused; decode: 7 tokens in [0-9.]* ms ([0-9.]*/s)$'

# --- pictures
t "two items, two answers" 0 mm-llm -m "$M" -p "$Q" -n 8 two.mmt
cp out answers
[ "$(wc -l <answers)" = 2 ]; ok "a line each" $?
t "together the same" 0 sh -c "mm-llm -m '$M' --exact -B 2 -p '$Q' -n 8 --json two.mmt | sed 's/\"logprobs.*//' >b; mm-llm -m '$M' --exact -p '$Q' -n 8 --json two.mmt | sed 's/\"logprobs.*//' | cmp - b"
for w in a 'b c d e' '' 'c c c c c c' 'd d' e; do printf '{"prompt":"The same beginning of all, and then %s"}\n' "$w"; done >w.jsonl
w="-m $M --prompts w.jsonl -c 30 -t 1 -s 7 --json"
t "items come and go" 0 sh -c "for b in 1 2 4; do mm-llm $w -B \$b -j \$b | sed 's/, \"ms.*/}/' >b\$b; done; cmp b1 b2 && cmp b1 b4 && cat b1"
json "[x['item'] for x in d]==[0,1,2,3,4,5] and len(set(len(x['tokens']) for x in d))>2"; ok "in order, the same" $?
t "a faulty one in its place" 65 sh -c "echo '{\"prompt\":\"The same beginning of all, and then $(seq -s ' ' 40)\"}' | cat w.jsonl - w.jsonl >f.jsonl; mm-llm $w --prompts f.jsonl -n 3 --keep-going -B 3"
json "[('error' in x) for x in d]==[False]*6+[True]+[False]*6 and 'context' in d[6]['error']"; ok "the others are answered" $?
t "what items share is computed once" 0 sh -c "mm-llm $w -n 1 -B 2 -v"
cp err err2
t "one at a time too" 0 sh -c "mm-llm $w -n 1 -v"
computed() { sed -n 's/.*prefill: \([0-9]*\) positions.*/\1/p' "$1"; }
[ "$(computed err)" -eq "$(computed err2)" ] && [ "$(computed err)" -le 50 ]; ok "the same number" $?
t "from standard input" 0 sh -c "mm-llm -m '$M' -p '$Q' -n 8 <two.mmt | cmp - answers"
t "an operand '-' is standard input" 0 sh -c "mm-llm -m '$M' -p '$Q' -n 8 - <two.mmt | cmp - answers"
printf '{"source":"%s","prompt":"USER: <image>\\n%s"}\n' "$L/cup.png" cup "$L/cat.png" cat "$L/cat.png" two >q.jsonl
t "questions by source" 0 mm-llm -m "$M" --prompts q.jsonl -n 4 --json two.mmt
json "[x['source'][0][-7:] for x in d]==['cat.png','cat.png','cup.png']"
ok "each about its picture" $?
echo '{"source":"dog.png","prompt":"<image>"}' >>q.jsonl
t "a question about no item" 65 mm-llm -m "$M" --prompts q.jsonl -n 1 two.mmt
has "is named" err 'prompt 4 of --prompts is about no item: no source is dog.png'
"$PYTHON" - >three.mmt <<'P'
import sys, zlib
pad = lambda b: b + bytes(-len(b) % 64)
def rec(item, source):
    d = source.encode()
    return pad(b'mmts 1 text\nlength: %d\nitem: %d\nkind: text\nsource: %s\n\n' % (len(d), item, d)) + pad(d + b'crc %08x\n' % zlib.crc32(d))
sys.stdout.buffer.write(rec(0, 'a') + rec(1, 'b') + rec(1, 'c') + pad(b'mmts 1 end\nrecords: 3\n\n'))
P
p=
for s in '"source":"c",' '' '"source":"b",' '"source":"c",' '"source":"a",' '"source":"b",'; do
    p="$p x"
    case $s in *a*) echo "{$s\"prompt\":\"<text>$p\"}" ;; *) echo "{$s\"prompt\":\"<text><text>$p\"}" ;; esac
done >three.jsonl
t "questions by any source of an item, or by place" 0 mm-llm -m "$M" --prompts three.jsonl -n 1 --json three.mmt
json "[x['source'] for x in d]==[['a']]+[['b','c']]*5 and sorted(x['prompt_tokens'] for x in d[1:])==[x['prompt_tokens'] for x in d[1:]]"
ok "in the order of the lines" $?
printf '{"source":"a","prompt":"one"}\n{"prompt":"two"}\n' >r.jsonl
t "questions without pictures" 0 mm-llm -m "$M" --prompts r.jsonl -n 4 --json
json "[(x['source'],x['item']) for x in d]==[(['a'],0),([],1)]"; ok "an item each" $?
t "records alone are a prompt" 0 sh -c "printf 'hello' >h.txt; mm-pack h.txt | mm-llm -m '$M' -n 8 | cmp - hello"
t "too few records" 65 mm-llm -m "$M" -p '<image><image>' cat.mmt
has "both numbers" err 'has 2 <image>, the item has 1'
t "too many" 65 mm-llm -m "$M" -p 'hello' cat.mmt
t "pictures of another width" 65 mm-llm -m "$GOLDEN/llava/v0_patches/model" -p "$Q" cat.mmt
has "both widths" err 'embeddings \[.*rows have'
t "a truncated stream" 65 sh -c "head -c \$((\$(wc -c <two.mmt) - 100)) two.mmt | mm-llm -m '$M' -p '$Q' -n 8 >o; s=\$?; head -n 1 answers | cmp o - && exit \$s"
t "an empty one" 65 sh -c "mm-llm -m '$M' -p '$Q' </dev/null"
t "a killed producer" 65 sh -c "sh -c 'head -c 3000 two.mmt; kill -9 \$\$' | mm-llm -m '$M' -p '$Q'"
N=$GOLDEN/llava/v0_patches
mm-encode -m "$N/model" "$N/cat.png" | mm-project -m "$N/model" | sed 's/^item: 0/item: 7/' >odd.mmt
t "keep going" 65 sh -c "cat odd.mmt two.mmt | mm-llm -m '$M' --keep-going -p '$Q' -n 8 --json"
json "len(d)==3 and 'embeddings' in d[0]['error'] and 'text' in d[2]"; ok "an object in its place" $?
has "and a message" err 'item 7: .*embeddings'
t "as records" 65 sh -c "cat odd.mmt two.mmt | mm-llm -m '$M' --keep-going -p '$Q' -n 8 -S >o; s=\$?; mm-ls o; exit \$s"
has "an error record" out 'kind=error'
t "an error record of the stage before" 65 sh -c "mm-llm -m '$M' -p '$Q' -n 2 o"

# --- token ids, beams, scores
"$PYTHON" -c "
import struct
v=[1,5,9,12]
h=(\"{'descr': '<i4', 'fortran_order': False, 'shape': (%d,), }\" % len(v)).ljust(117)+'\n'
open('ids.npy','wb').write(b'\x93NUMPY\x01\x00'+struct.pack('<H',118)+h.encode()+struct.pack('<4i',*v))"
mm-pack --kind tokens ids.npy >ids.mmt
t "token ids without a tokenizer" 0 mm-llm -m "$B" -n 6 -t 0 --json ids.mmt
json "d[0]['text'] is None and len(d[0]['tokens'])==6 and d[0]['prompt_tokens']==4"; ok "text is null" $?
t "text for a model without a tokenizer" 69 mm-llm -m "$B" -p hello
mm-pack --kind tokens ids.npy | mm-llm -m "$B" -n 3 -S | mm-cut -k tokens >t.mmt
t "tokens come out as records" 0 mm-ls t.mmt
has "with their shape" out 'i32  \[3\].*kind=tokens'
t "logits too" 0 sh -c "mm-llm -m '$B' -n 3 --logits ids.mmt | mm-cut -k logits | mm-ls"
has "a row a step" out 'f32  \[3,'
t "beams" 0 mm-llm -m "$B" --beam 3 --num-return 3 -n 6 --json ids.mmt
json "len(d)==3 and d[0]['score']>=d[1]['score']>=d[2]['score']"; ok "best first" $?
t "scores" 0 mm-llm -m "$M" -p 'hello' --score ' A cat' --score ' A dog' --json
json "[x['text'] for x in d]==[' A cat',' A dog'] and all(abs(sum(x['logprobs'])-x['logprob'])<1e-4 and len(x['ids'])==len(x['logprobs']) for x in d)"
ok "a line each, in order" $?
t "perplexity" 0 mm-llm -m "$M" --perplexity prompt.txt
has "of a text" out '^tokens [0-9]*, loss [0-9.]*, perplexity'

# --- how tokens are chosen
t "a seed decides a draw" 0 sh -c "mm-llm -m '$M' -p hello -n 12 -t 1 -s 7 >1; mm-llm -m '$M' -p hello -n 12 -t 1 -s 7 | cmp - 1"
t "another seed, another draw" 1 sh -c "mm-llm -m '$M' -p hello -n 12 -t 1 -s 8 | cmp -s - 1"
t "stop strings" 0 sh -c "s=\$(cut -c 5-7 hello); mm-llm -m '$M' -p hello -n 8 --stop \"\$s\""
[ "$(cat out)" = "$(cut -c 1-4 hello)" ]; ok "cut across tokens" $?
t "a bias" 0 mm-llm -m "$B" -n 3 --logit-bias 9=1000 --json ids.mmt
json "d[0]['tokens']==[9,9,9]"; ok "rules the choice" $?
t "an end token" 0 mm-llm -m "$B" -n 9 --logit-bias 9=1000 --eos 9 --json ids.mmt
json "d[0]['tokens']==[9] and d[0]['stop']=='eos'"; ok "ends the answer" $?
t "not before --min-tokens" 0 mm-llm -m "$B" -n 9 --logit-bias 9=1000 --eos 9 --min-tokens 3 --json ids.mmt
json "d[0]['tokens'][3]==9 and len(d[0]['tokens'])==4"; ok "but then" $?
t "a full context" 0 mm-llm -m "$B" -c 6 --json ids.mmt
json "d[0]['stop']=='context' and len(d[0]['tokens'])==2"; ok "says so" $?
t "filled by the prompt" 0 mm-llm -m "$B" -c 4 --json ids.mmt
json "d[0]['stop']=='context' and d[0]['tokens']==[]"; ok "leaves no room" $?
t "filled by a beam" 0 mm-llm -m "$B" -c 6 --beam 2 --json ids.mmt
json "len(d[0]['tokens'])<=2"; ok "ends it" $?
t "a prompt that does not fit" 65 mm-llm -m "$B" -c 3 ids.mmt
has "both numbers" err '4 positions, the context 3'
printf 'root ::= "{" [a-d]{2,4} "}" # four at most\n' >g.gbnf
t "a grammar" 0 mm-llm -m "$M" -p hello --grammar g.gbnf -t 1 -s 3
has "is kept" out '^{[a-d]\{2,4\}}$'
echo '{"type":"object","properties":{"a":{"type":"integer"},"b":{"enum":["x","y"]}},"required":["a","b"]}' >s.json
t "a JSON schema" 0 sh -c "for s in 1 2 3 4 5; do mm-llm -m '$M' -p hello --json-schema s.json -t 1 -s \$s -n 200 --json || exit; done"
json "all(set(json.loads(x['text']))=={'a','b'} and json.loads(x['text'])['b'] in 'xy' for x in d)"
ok "five documents that are of it" $?
printf 'root ::= "a' >bad.gbnf
t "a grammar that is none" 65 mm-llm -m "$M" -p x --grammar bad.gbnf
has "the place" err 'bad.gbnf: grammar: line 1, column 12'

V=$GOLDEN/llama/vicuna/model
the=$(echo '"hello the"' | mm-tokens -m "$V" --json | sed 's/.*,//; s/]//')
t "a continuation" 0 mm-llm -m "$V" -p hello -n 2 --logit-bias "$the=1e6"
same "keeps the space before its first word" out " the the"
t "of a batch" 0 sh -c "printf '{\"prompt\":\"hello\"}\n{\"prompt\":\"a\"}\n' >b.jsonl; mm-llm -m '$V' --prompts b.jsonl -B 2 -n 2 --logit-bias '$the=1e6'"
same "each" out " the the
 the the"
t "a turn" 0 sh -c "echo hello | mm-llm -m '$V' --template vicuna_v1 --chat -n 2 --logit-bias '$the=1e6'"
same "has none" out "the the"

# several questions about each of several things, every answer of one token
for thing in $(seq 6); do
    for q in a b c d e; do echo "{\"prompt\":\"$thing $(seq -s ' ' $thing 20), $q\"}"; done
done >shared.jsonl
for n in 1 8; do
    mm-llm -m "$V" --prompts shared.jsonl -n 1 -B $n -v 2>err >$n.out
    sed -n 's/.*prefill: \([0-9]*\) positions.*, \([0-9]*\) reused.*/\1/p' err >$n.computed
done
cmp 1.out 8.out && test "$(cat 8.computed)" -le "$(cat 1.computed)"
ok "what a short answer computed is not lost to those that wait for it" $?

# --- states
t "a state is saved" 0 sh -c "mm-llm -m '$M' -p 'USER: <image>' -n 0 --save-state s.mmt <cat.mmt"
t "and continued" 0 sh -c "mm-llm -m '$M' --load-state s.mmt -p '\\nDescribe the cup. ASSISTANT:' -n 8 -v"
head -n 1 answers | cmp -s - out; ok "as if asked at once" $?
has "nothing is computed again" err 'prefill: .* reused'
t "to the last digit" 0 sh -c "mm-llm -m '$M' --load-state s.mmt -p '\\n' -n 8 --json | sed 's/\"ms.*//' >1; mm-llm -m '$M' -p 'USER: <image>\n' -n 8 --json cat.mmt | sed 's/.*\"prompt_t/\"prompt_t/; s/\"ms.*//' >2; sed 's/.*\"prompt_t/\"prompt_t/' 1 | cmp - 2"
t "the whole prompt may be given" 0 sh -c "mm-llm -m '$M' --load-state s.mmt -p '$Q' -n 8"
head -n 1 answers | cmp -s - out; ok "with the same answer" $?
t "no prompt: go on" 0 sh -c "mm-llm -m '$M' --load-state s.mmt -n 4"
t "of another model" 65 mm-llm -m "$GOLDEN/llava/chat/model" --load-state s.mmt -p x
has "both fingerprints" err 'saved with model'
t "of another cache" 65 mm-llm -m "$M" --load-state s.mmt --kv f32 -p x
head -c 5000 s.mmt >cut.mmt
t "cut" 65 mm-llm -m "$M" --load-state cut.mmt -p x
t "not there" 66 mm-llm -m "$M" --load-state no.mmt -p x
t "two items have no state" 65 mm-llm -m "$M" -p "$Q" -n 0 --save-state no.mmt two.mmt

# --- chat
printf 'Hello\nAnd now?\n\nBye\n' >turns
t "chat" 0 sh -c "mm-llm -m '$M' --template vicuna_v1 --chat -n 6 -v <turns"
[ "$(wc -l <out)" = 3 ]; ok "an answer a turn" $?
reused=$(sed -n 's/.*, \([0-9]*\) reused.*/\1/p' err)
[ "${reused:-0}" -gt 20 ]; ok "old turns are not computed again" $?
t "chat in JSON" 0 sh -c "mm-llm -m '$M' --template vicuna_v1 --chat -n 2 --json <turns"
json "[x['item'] for x in d]==[0,1,2]"; ok "an item a turn" $?
t "chat about a picture" 0 sh -c "mm-llm -m '$M' --template vicuna_v1 --chat -n 6 --json cat.mmt <turns"
json "len(d)==3 and d[1]['prompt_tokens']>d[0]['prompt_tokens']>25"; ok "with its history" $?
mkfifo turns.fifo long.fifo
mm-llm -m "$M" --template vicuna_v1 --chat --ignore-eos -n 1000000 -c 1000000 \
    --logit-bias 13=-1e9 <turns.fifo >long.fifo 2>err &
pid=$!
cat long.fifo >long & # a pipe: each token is flushed
exec 3>turns.fifo
echo Hello >&3
while [ ! -s long ]; do sleep 0.1; done
kill -INT $pid
echo Bye >&3
for i in 1 2 3 4 5 6 7 8 9 10; do
    [ "$(wc -l <long)" -lt 1 ] || break
    sleep 0.2
done
[ "$(wc -l <long)" = 1 ]; ok "Ctrl-C ends the answer" $?
kill -0 $pid; ok "not the program" $?
exec 3>&-
kill -INT $pid
i=0
while kill -0 $pid 2>/dev/null && [ $i -lt 50 ]; do kill -INT $pid 2>/dev/null; sleep 0.1; i=$((i + 1)); done
wait $pid; ok "which ends with its input" $?
t "an unknown template" 64 mm-llm -m "$M" --template no --chat
t "no template named" 69 mm-llm -m "$GOLDEN/llama/vicuna/model" --chat
has "says what to do" err '--template'

# --- command line
t "no such model" 66 mm-llm -m nowhere -p x
t "no such file" 66 mm-llm -m "$M" -p '<image>' missing.mmt
t "a bad number" 64 mm-llm -m "$M" -n many -p x
t "a bad word" 64 mm-llm -m "$M" --kv f8 -p x
for pair in '--json -S' '--chat -S' '--chat -p x' '--chat --beam 2' '-p x --prompt-file p' \
    '-p x --prompts q.jsonl' '--grammar g --json-schema s' '--beam 2 --grammar g' \
    '--beam 2 --score a' '--num-return 2' '--perplexity f -p x' '--chat --trace f' '-n 0 --beam 2'; do
    # shellcheck disable=SC2086
    t "refused: $pair" 64 mm-llm -m "$M" $pair
done
t "full disk" 74 sh -c "mm-llm -m '$M' -p x -n 4 >/dev/full"
t "closed output" 74 sh -c "mm-llm -m '$M' -p x >&-"
t "a trace that cannot be written" 74 mm-llm -m "$M" -p x -n 2 --trace /dev/full
t "a failing run leaves no trace" 65 mm-llm -m "$M" -p '<image><image>' --trace l.mmt cat.mmt
not_there "no file" l.mmt

# a checkpoint that does not fit: all faults by name, with both shapes
cat >odd.py <<'END'
import json, struct, sys
src, dst = sys.argv[1:3]
data = open(src, "rb").read()
n = struct.unpack("<Q", data[:8])[0]
head = json.loads(data[8:8 + n])
for name in list(head):
    if ".layers.0." in name or ".layers.1." in name:
        head["gone." + name] = head.pop(name)
norm = head["model.norm.weight"]
norm["shape"] = [norm["shape"][0] // 2, 2]
j = json.dumps(head).encode()
open(dst, "wb").write(struct.pack("<Q", len(j)) + j + data[8 + n:])
END
mkdir odd
cp "$GOLDEN/llama/gqa/model/config.json" odd/
"${PYTHON:-python3}" odd.py "$GOLDEN/llama/gqa/model/model.safetensors" odd/model.safetensors
t "missing, odd and surplus tensors" 65 mm-llm -m odd -n 1 -p x
has "are counted" err '37 tensors do not fit'
has "the odd one with both shapes" err "'model.norm.weight' has shape \[30,2\], want \[60\]"
has "each missing one" err "missing 'model.layers.1.mlp.down_proj.weight' \[60,136\]"
has "each surplus one" err "surplus 'gone.model.layers.1.mlp.down_proj.weight' \[60,136\]"
finish
