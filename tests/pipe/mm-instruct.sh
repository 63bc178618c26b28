#!/bin/sh
# mm-instruct: against an endpoint on loopback, faults included; resuming; mm-llm; stats.
. "$TOP/tests/pipe/lib.sh"

unset http_proxy ALL_PROXY all_proxy OPENAI_API_KEY
MM_API_KEY=good-key; export MM_API_KEY
"$PYTHON" "$TOP/tests/pipe/chat_server.py" port log &
server=$!
trap 'kill $server' EXIT
i=0
while [ ! -s port ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i + 1)); done
url=http://127.0.0.1:$(cat port)/v1

# coco NAME CAPTION...: one picture a caption
coco() {
    awk -v name="$1" 'BEGIN {
        for (i = 2; i < ARGC; i++) {
            images = images (i > 2 ? "," : "") "{\"id\":" i ",\"file_name\":\"a/p" i ".jpg\",\"width\":200,\"height\":100}"
            caps = caps (i > 2 ? "," : "") "{\"id\":" i ",\"image_id\":" i ",\"caption\":\"" ARGV[i] "\"}"
            boxes = boxes (i > 2 ? "," : "") "{\"id\":" i ",\"image_id\":" i ",\"category_id\":7,\"bbox\":[10,20,90,30.5]}"
        }
        print "{\"images\":[" images "],\"annotations\":[" caps "]}" > (name ".json")
        print "{\"images\":[" images "],\"annotations\":[" boxes "],\"categories\":[{\"id\":7,\"name\":\"dog\"}]}" > (name ".boxes")
    }' "$@"
}
ask() { mm-instruct --endpoint "$url" --model m --backoff 0.01 "$@"; }

coco two 'a late dog' 'a cat'
t "two pictures, three types" 0 ask -j 3 -b two.boxes -o two.jsonl two.json
sed 's/"id":"\([^"]*\)".*"type":"\([^"]*\)".*/\1 \2/; s/^{//' two.jsonl >order
same "are in the order of the input" order "$(printf 'p2 conversation\np2 detail\np2 reasoning\np3 conversation\np3 detail\np3 reasoning')"
has "an answer is a record" two.jsonl '"image":"a/p3.jpg".*"from":"gpt","value":"There is a cat."'
grep '"messages": 8' log >log8
has "boxes are fractions" log8 'a late dog....dog: \[0.05, 0.2, 0.5, 0.505\]'
grep '"messages": 6' log >log6
same "a conversation is asked with captions alone" log6 "$(printf '{"text": "a cat", "try": 1, "messages": 6}\n{"text": "a late dog", "try": 1, "messages": 6}' |
    if head -1 log6 | grep -q late; then sort -r; else cat; fi)"
cp two.jsonl first
: >log
t "again" 0 ask -b two.boxes -o two.jsonl two.json
cmp -s first two.jsonl && [ ! -s log ]
ok "nothing is asked and nothing changes" $?
printf '%s' "$(sed -n 1,2p first; sed -n 3p first | cut -c 1-60)" >two.jsonl
t "after a kill" 0 ask -j 1 -b two.boxes -o two.jsonl two.json
has "half a line is cut off" err 'half a line'
cmp -s first two.jsonl
ok "and the file becomes the same" $?
[ "$(wc -l <log)" = 4 ]
ok "only what was missing was asked" $?

coco many 'a late dog' 'late 2' 'late 3' 'late 4' 'late 5' 'late 6' 'late 7' 'late 8'
ask -j 2 -o whole.jsonl many.json
for j in 1 5; do
    rm -f log.flight
    t "$j in flight" 0 ask -j $j -t conversation -o flight$j.jsonl many.json
    same "at most and as many" log.flight $j
done
t "the order is that of the pictures" 0 cmp flight1.jsonl flight5.jsonl
: >killed.jsonl
mm-instruct --endpoint "$url" --model m -j 2 -o killed.jsonl many.json 2>/dev/null &
run=$!
i=0
while [ "$(wc -l <killed.jsonl)" -lt 3 ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i + 1)); done
t "one run at a time" 74 ask -o killed.jsonl many.json
kill -9 $run
wait $run 2>/dev/null
t "what a killed run left" 0 mm-instruct --stats killed.jsonl
[ "$(wc -l <killed.jsonl)" -lt 24 ]
ok "is part of it" $?
t "the next run" 0 ask -j 5 -o killed.jsonl many.json
cmp -s whole.jsonl killed.jsonl
ok "ends with the bytes of a whole one" $?

coco passing 'fault 429' 'fault 500' 'fault cut' 'fault half' 'fault junk' 'fault slow'
t "passing faults" 0 ask -j 6 --timeout 1 -t conversation -o passing.jsonl passing.json
[ "$(wc -l <passing.jsonl)" = 6 ] && [ ! -s passing.jsonl.rejects ]
ok "are got over" $?
coco lasting 'fault empty' 'fault huge' 'fault 400' 'fault length' 'fault bad' 'fine'
t "lasting faults" 0 ask -t conversation -o lasting.jsonl lasting.json
sed 's/.*"why":"\([^"]*\)".*/\1/' lasting.jsonl.rejects >whys
same "are rejected, with why" whys "$(printf 'no-choices\ntoo-large\nhttp-400\ntruncated\nno-header')"
has "and counted" err '5 of 6 rejected'
[ "$(wc -l <lasting.jsonl)" = 1 ]
ok "the rest is there" $?
: >log
t "rejects" 0 ask -t conversation -o lasting.jsonl lasting.json
[ ! -s log ]
ok "are not asked again" $?
t "--again" 0 ask --again -t conversation -o lasting.jsonl lasting.json
[ "$(wc -l <log)" = 5 ]
ok "asks them" $?
coco busy 'fault 429s' 'fine too'
t "an endpoint that is always busy" 74 ask --tries 2 -t detail -o busy.jsonl busy.json
has "its reject may be asked again" busy.jsonl.rejects '"why":"http-429".*"again":true'
: >log
ask --tries 1 -t detail -o busy.jsonl busy.json 2>/dev/null
has "and is" log 'fault 429s'

coco refused 'fault 400 a' 'fault 400 b' 'fault 400 c' 'fault 400 d' 'fault 400 e' 'fine 3'
t "an endpoint that takes no request" 74 ask -j 1 -t conversation -o refused.jsonl refused.json
has "is told soon" err '5 requests one after the other failed, the last: http-400: too long'
[ "$(wc -l <refused.jsonl.rejects)" = 5 ] && [ ! -s refused.jsonl ]
ok "and not asked for the rest" $?
t "which comes when it is run again" 0 ask -t conversation -o refused.jsonl refused.json
has "those apart" refused.jsonl 'There is fine 3'

coco same 'a cat in a' 'a cat in b'
sed 's,a/p2,x/7,; s,a/p3,y/7,' same.json >same7.json
t "pictures of one name in two folders: the first" 0 ask -n 1 -t conversation -o same.jsonl same7.json
t "and then both" 0 ask -t conversation -o same.jsonl same7.json
sed 's/.*"image":"\([^"]*\)".*/\1/' same.jsonl >images
same "are asked about" images "$(printf 'x/7.jpg\ny/7.jpg')"

t "a wrong key" 69 env MM_API_KEY=bad-secret mm-instruct --endpoint "$url" --model m -o k.jsonl two.json
has "is told" err 'key refused: wrong key: \*\*\*'
! grep -q bad-secret err out k.jsonl k.jsonl.rejects
ok "the key is never shown" $?
t "nobody there" 74 mm-instruct --endpoint http://127.0.0.1:1/v1 --model m --tries 1 -o n.jsonl two.json

t "--stats" 0 mm-instruct --stats two.jsonl passing.jsonl
has "counts by type" out '^conversation  *8 '
has "and all" out '^all  *12 '
has "and pictures" out '^pictures  *6$'
t "--array" 0 mm-instruct --array two.jsonl
"$PYTHON" -c 'import json; assert len(json.load(open("out"))) == 6'
ok "is one JSON array" $?

# a stand-in for mm-llm: the last caption back
mkdir fake
cat >fake/mm-llm <<'END'
#!/bin/sh
while read -r line; do
    case $line in
    *'a cat'*) printf '%s\n' '{"text":"Question: Who?\n===\nAnswer: A cat.","stop":"eos"}' ;;
    *) echo '{"error":"too long"}' ;;
    esac
done </dev/fd/3
exit 65
END
chmod +x fake/mm-llm
t "--llm" 0 env PATH="$PWD/fake:$PATH" mm-instruct --llm x -t conversation -o l.jsonl two.json
has "answers become records" l.jsonl '"id":"p3".*A cat\.'
has "errors rejects" l.jsonl.rejects '"id":"p2".*"message":"too long"'
rm l.jsonl
t "a full disk" 74 env PATH="$PWD/fake:$PATH" mm-instruct --llm x -t conversation -o /dev/full --rejects l.jsonl two.json
t "with --endpoint" 74 ask -t conversation -o /dev/full --rejects l.jsonl two.json
mkdir tiny
printf '@@ system\nHi\n@@ question\nWhat?\n' >tiny/detail.txt
t "mm-llm itself" 0 mm-instruct --prompts tiny -t detail --tokens 8 --llm "$GOLDEN/llava/chat/model" \
    --llm-option --ignore-eos -o tiny.jsonl two.json
[ "$(grep -c '"why":"truncated","text":"[^"]' tiny.jsonl.rejects)" = 2 ]
ok "answers each picture" $?
t "a model that is not there" 66 mm-instruct --llm ./none -o l2.jsonl two.json
mkdir short
printf '@@ system\nHi\n@@ question\nWhat?\n' >short/detail.txt
t "an odd prompt file" 66 mm-instruct --prompts short --llm x -o l3.jsonl two.json
printf '@@ user\nHi\n' >short/detail.txt
t "another" 65 mm-instruct --prompts short -t detail --llm x -o l3.jsonl two.json
has "is named by its line" err "short/detail.txt: line 1: part 'user' where 'system' is wanted"

echo '[1]' >list.json
t "an output of another kind" 65 ask -o list.json two.json
same "stays" list.json "[1]"
t "captions that are none" 65 ask -o x.jsonl list.json
t "no captions file" 66 ask -o x.jsonl none.json
t "no backend" 64 mm-instruct -o x.jsonl two.json
t "two backends" 64 ask --llm x -o x.jsonl two.json
t "no such type" 64 ask -t talk -o x.jsonl two.json
t "not a type" 64 ask -t , -o x.jsonl two.json
t "standard output" 64 ask -o - two.json
t "the endpoint's number of tokens" 0 ask --tokens 0 -t conversation -o tokens.jsonl two.json
t "of mm-llm" 64 mm-instruct --tokens 0 --llm x -o x.jsonl two.json
t "an endpoint that is no URL" 64 mm-instruct --endpoint nowhere --model m -o x.jsonl two.json
finish
