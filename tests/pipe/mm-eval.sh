#!/bin/sh
# mm-eval: the golden cases through the program, ids, intervals, hostile input, refusals.
. "$TOP/tests/pipe/lib.sh"
g=$GOLDEN/metrics

# value NAME FILE: of a name<tab>value line
value() { sed -n "s/^$1	//p" "$2"; }

# near NAME GOT WANT: to six digits
near() {
    awk -v a="$2" -v b="$3" 'BEGIN { d = a - b; exit !(a != "" && d * d <= 1e-10 * b * b + 1e-30) }'
    rc=$?
    [ $rc = 0 ] || echo "# $2, want $3"
    ok "$1" $rc
}

t 'vqa' 0 mm-eval vqa --pred "$g/vqa/results.json" --ref "$g/vqa/annotations.json" \
    --questions "$g/vqa/questions.json"
near 'official' "$(value official_overall out)" 74.17
near 'by type' "$(value openflamingo_per_question_type.what out)" 82.86
t 'vqa table' 0 mm-eval vqa --pred - --ref "$g/vqa/annotations.json" --table <"$g/vqa/results.json"
has 'the row of all' out '^all  *74.17  *82.50  *82.50  *95.83$'
t 'scienceqa' 0 mm-eval scienceqa --pred "$g/choice/scienceqa_answers.jsonl" \
    --ref "$g/choice/problems.json" --splits "$g/choice/pid_splits.json" --table
has 'its table' out \
    '^model  *58.33  *56.52  *14.29  *57.69  *57.69  *42.86  *59.26  *44.44  *51.85$'
has 'says how many answers are missing' err '^mm-eval: 4 of 54 problems have no answer, which is wrong$'
t 'pope' 0 mm-eval pope --pred "$g/pope/answers.jsonl" --questions "$g/pope/questions.jsonl" \
    --ref "$g/pope/coco/coco_pope_random.json" --ref "$g/pope/coco/coco_pope_popular.json" --json
has 'f1 by category' out '"f1_by_category": \[0.66666666666666663, 0.64516129032258063\]'
t 'bench' 0 mm-eval bench --judge "$g/llava_bench/reviews.jsonl" --table
has 'relative score' out '^all  *62.9  *62.5  *39.3$'
t 'bench in lines' 0 mm-eval bench --judge "$g/llava_bench/reviews.jsonl" --bootstrap 50
near 'relative score' "$(value all.relative out)" 62.9
near 'of a category' "$(value llava_bench_conv.candidate out)" 21
has 'with its interval' out '^all.relative.ci95.low	[0-9.]*$'

echo '[{"id":1,"answer":"a"},{"id":2,"answer":"\\u0000"}]' >nul.json
echo '[{"id":1,"text":"a\u0000"},{"id":2,"text":"\\u0000"}]' >nul.said
t 'a model says NUL' 0 mm-eval exact --pred nul.said --ref nul.json
has 'which is another character' out '^exact_match	50$'

t 'captions' 0 mm-eval caption --pred "$g/captions/results.json" --ref "$g/captions/captions.json"
near 'cider_d' "$(value cider_d out)" 1.74404
near 'bleu_4' "$(value bleu_4 out)" 0.403156
t 'captions table' 0 mm-eval caption --pred "$g/captions/results.json" \
    --ref "$g/captions/captions.json" --table --wordnet nowhere
has 'in percent' out '^all  *71.9  *59.5  *49.2  *40.3  *[0-9.]*  *57.5  *174.4  *193.8$'
if [ -e /usr/share/wordnet/index.noun ]; then
    echo '[{"image_id":1,"caption":"a quick auto"}]' >r.json
    echo '[{"image_id":1,"caption":"a fast car"}]' >p.json
    mm-eval caption --pred p.json --ref r.json >with
    mm-eval caption --pred p.json --ref r.json --wordnet nowhere >without
    awk -v a="$(value meteor with)" -v b="$(value meteor without)" \
        'BEGIN { exit !(a > 0.8 && b < 0.3) }'
    ok 'synonyms count' $?
else
    skip 'synonyms count' 'wordnet-base is not installed'
fi

# lines of mm-llm and LLaVA's own JSON; the picture's name finds the reference
cat >ref.json <<'END'
[{"id":"a","image":"images/a.png","conversations":[{"from":"human","value":"<image>\nWhat?"},
 {"from":"gpt","value":"red"},{"from":"gpt","value":"no"}]},
 {"id":"b","image":"images/b.png","conversations":[{"from":"gpt","value":"2"}]}]
END
cat >pred.jsonl <<'END'
{"source": ["/x/images/b.png"], "item": 1, "tokens": [1], "text": "two", "stop": "eos"}
{"source": ["images/a.png"], "item": 0, "tokens": [1], "text": " Red. ", "stop": "eos"}
END
t 'mm-llm beside LLaVA' 0 mm-eval vqa --pred pred.jsonl --ref ref.json
near 'both are right' "$(value official_overall out)" 100
t 'exact' 0 mm-eval exact -v --pred pred.jsonl --ref ref.json
same 'says what it read' err 'mm-eval: ref.json: 2 entries
mm-eval: pred.jsonl: 2 entries'
same 'its lines' out 'n	2
exact_match	0
exact_match_normalized	100'
head -1 pred.jsonl >one.jsonl
t 'a missing prediction' 65 mm-eval vqa --pred one.jsonl --ref ref.json
has 'names it' err "reference 'a': no prediction"
t '--partial leaves it out' 0 mm-eval exact --pred one.jsonl --ref ref.json --partial
has 'and says so' err '1 of 2 references'
near 'one item' "$(value n out)" 1
printf '%s\n' '{"source": ["images/a.png"], "item": 0, "error": "not a picture"}' >>one.jsonl
t 'an item that failed' 65 mm-eval exact --pred one.jsonl --ref ref.json
has 'is no answer' err "'a': the item failed"
t '--partial leaves that out, too' 0 mm-eval exact --pred one.jsonl --ref ref.json --partial
has 'and says so' err '1 of 2 references'
head -1 pred.jsonl >one.jsonl
cat pred.jsonl one.jsonl >twice.jsonl
t 'a prediction twice' 65 mm-eval vqa --pred twice.jsonl --ref ref.json
has 'names it too' err "'/x/images/b.png' comes twice"

# TextVQA's file and LLaVA's answers, which name the picture and hold the question
cat >textvqa.json <<'END'
{"dataset_type": "val", "data": [
 {"question_id": 34602, "image_id": "003a8ae2", "question": "What is the BRAND of this \u00c9cran?", "answers": ["nous", "nous", "nous", "nous", "x", "x", "x", "y", "y", "y"]},
 {"question_id": 34603, "image_id": "003a8ae2", "question": "what does it say?", "answers": ["dakota", "dakota", "dakota", "dakota", "x", "x", "x", "y", "y", "y"]},
 {"question_id": 34604, "image_id": "f4f4", "question": "what does it say?", "answers": ["stop", "stop", "stop", "stop", "x", "x", "x", "y", "y", "y"]},
 {"question_id": 34605, "image_id": "f5", "question": "how\nmany?", "answers": ["2", "2", "2", "2", "x", "x", "x", "y", "y", "y"]}]}
END
cat >llava.jsonl <<'END'
{"question_id": "003a8ae2", "prompt": "what does it say?\nReference OCR token: A, B\nAnswer the question using a single word or phrase.", "text": "Dakota"}
{"question_id": "003a8ae2", "prompt": "what is the brand of this \u00e9cran?\nAnswer the question using a single word or phrase.", "text": "no"}
{"question_id": "f4f4", "prompt": "Reference OCR token: STOP\nWhat does it say?\nAnswer the question using a single word or phrase.", "text": "Stop."}
{"question_id": "f5", "prompt": "OCR tokens: 2. Question: How\nmany? Short answer:", "text": "two"}
END
t 'TextVQA as LLaVA answers it' 0 mm-eval vqa --pred llava.jsonl --ref textvqa.json --json
has 'question by question' out '"textvqa_llava_per_question": \[0.0, 100.0, 100.0, 100.0\]'
sed 's/it say/it tell/' llava.jsonl >other.jsonl
t 'another question' 65 mm-eval vqa --pred other.jsonl --ref textvqa.json
has 'is of no reference' err "prediction '003a8ae2': no reference has this id"

printf '%s\n' '{"id":1,"score":0.5}' '{"id":2,"score":0.5}' '{"id":3,"score":0.9}' >scores.jsonl
printf '%s\n' '{"id":1,"label":0}' '{"id":2,"label":"yes"}' '{"id":3,"label":true}' >labels.jsonl
t 'auc, a tie counts half' 0 mm-eval auc --pred scores.jsonl --ref labels.jsonl
near 'three quarters' "$(value roc_auc out)" 0.75

t 'intervals' 0 mm-eval vqa --pred "$g/vqa/results.json" --ref "$g/vqa/annotations.json" \
    --bootstrap 100 --json -s 3
mv out first
t 'again' 0 mm-eval vqa --pred "$g/vqa/results.json" --ref "$g/vqa/annotations.json" \
    --bootstrap 100 --json -s 3
cmp -s out first
ok 'the same seed, the same intervals' $?
has 'an interval' out '"ci95": {"official_overall": \['
t 'intervals in lines' 0 mm-eval vqa --pred "$g/vqa/results.json" --ref "$g/vqa/annotations.json" \
    --bootstrap 100 -s 3
cp out lines
t 'intervals in a table' 0 mm-eval vqa --pred "$g/vqa/results.json" \
    --ref "$g/vqa/annotations.json" --bootstrap 100 -s 3 --table
has 'are the same' out "^VQA  *\\[$(printf '%.2f, %.2f' "$(value official_overall.ci95.low lines)" \
    "$(value official_overall.ci95.high lines)")\\] (95%)$"
t 'intervals of categories' 0 mm-eval pope --pred "$g/pope/answers.jsonl" \
    --questions "$g/pope/questions.jsonl" --ref "$g/pope/coco/coco_pope_random.json" --bootstrap 20
has 'in lines' out '^random.f1_score.ci95.high	[0-9.]*$'

# a judge on loopback, which gives the first assistant 8 and the second the length of its answer
cat >judge.py <<'END'
import http.server, json, os, re
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        m = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][1]["content"]
        a = re.search(r"\[Assistant 2\]\n(.*?)\n\n\[End", m, re.S).group(1)
        open("asked", "a").write(a + "\n")
        if os.path.exists("refuse") and a == "cats":
            self.send_error(400)
            return
        ok = "a dog on grass" in m and self.headers["Authorization"] == "Bearer k"
        text = "8 %d\nso" % (len(a) if ok else 1)
        b = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(b)))
        self.end_headers()
        self.wfile.write(b)
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
open("port.new", "w").write(str(s.server_port))
os.rename("port.new", "port")
s.serve_forever()
END
"${PYTHON:-python3}" judge.py >judge.log 2>&1 &
judge=$!
for i in 1 2 3 4 5 6 7 8 9 10; do [ -e port ] || sleep 1; done
printf '{"question_id":%s,"image":"i.png","category":"conv","text":"What?"}\n' 1 2 >q.jsonl
printf '{"image":"i.png","caption":"a dog on grass"}\n' >c.jsonl
printf '{"question_id":%s,"text":"yes"}\n' 1 2 >r.jsonl
printf '{"question_id":%s,"text":"%s"}\n' 2 cats 1 ab >p.jsonl
t 'a judge at an endpoint' 0 env MM_API_KEY=k mm-eval bench --endpoint \
    "http://127.0.0.1:$(cat port)/v1" --judge-model m --questions q.jsonl --ref r.jsonl \
    --pred p.jsonl --context c.jsonl --json
has 'its scores' out '"parsed": \[\[8.0, 2.0\], \[8.0, 4.0\]\]'
has 'and the reviews' out '"content": "8 2\\nso"'
review() {
    env MM_API_KEY=k mm-eval bench --endpoint "http://127.0.0.1:$(cat port)/v1" --judge-model m \
        --questions q.jsonl --ref r.jsonl --pred p.jsonl --context c.jsonl --judge kept.jsonl "$@"
}
: >asked && : >refuse
t 'an answer that the judge refuses' 65 review
has 'is named' err "^mm-eval: judge: question '2': http-400: "
has 'the other review is kept' kept.jsonl '"content":"8 2\\nso"'
printf '{"question_id":"2","conte' >>kept.jsonl && rm refuse
t 'goes on' 0 review
near 'with the same scores' "$(value all.relative out)" 37.5
sort asked >sorted
same 'asks what is missing' sorted "$(printf 'ab\ncats\ncats')"
t 'again' 0 review
[ "$(wc -l <asked)" = 3 ] && [ "$(wc -l <kept.jsonl)" = 2 ]
ok 'asks nothing' $?
t 'the file alone' 0 mm-eval bench --judge kept.jsonl
near 'has them too' "$(value all.relative out)" 37.5
sed 's/cats/dogs/' p.jsonl >p2.jsonl
t 'reviews of other answers' 65 review --pred p2.jsonl
has 'are not taken for these' err "^mm-eval: kept.jsonl: question '2': its review is of something else"
kill "$judge"
t 'an endpoint without a model' 64 mm-eval bench --endpoint http://127.0.0.1:1/v1 --judge j
t 'reviews kept nowhere' 64 review --judge -

# the synthetic world: its own captions and answers are all right; what is broken is counted
mm-synth -s 5 -n 60 --split test --tier shapes,words --format vqa -o world
cat >answer.py <<'END'
import json, sys
for line in open("world/scenes.jsonl"):
    s = json.loads(line)
    caption = s["captions"][s["index"] % 6]
    if "no-blue" in sys.argv:
        caption = caption.replace("blue", "red")
    print(json.dumps({"image_id": s["id"], "caption": caption}))
    for i, q in enumerate(s["questions"]):
        text = "yes" if "yes" in sys.argv else q["answer"].capitalize() + "."
        print(json.dumps({"question_id": 64 * s["index"] + i, "image": "images/%s.png" % s["id"],
                          "text": text}))
END
"$PYTHON" answer.py >right.jsonl
"$PYTHON" answer.py no-blue yes >broken.jsonl
t 'the world as it is' 0 mm-eval world --ref world/scenes.jsonl --pred right.jsonl --want --table
has 'all captions' out '^shapes, 1-3 objects: scenes right  *[0-9]*  *100.0  *>= 90 ok '
has 'all words' out '^words of the list: read, mean of words  *[0-9]*  *100.0 '
has 'all questions' out '^questions: all  *[0-9]*  *100.0  *>= 95 ok '
t 'broken' 1 mm-eval world --ref world/scenes.jsonl --pred broken.jsonl --want
"$PYTHON" - out <<'END'
import json, sys
v = dict(l.rstrip("\n").split("\t") for l in open(sys.argv[1]))
scenes = [json.loads(l) for l in open("world/scenes.jsonl")]
few = [all(o["color"] != "blue" for o in s["objects"]) for s in scenes
       if s["tier"] == "shapes" and len(s["objects"]) <= 3]
many = [o["color"] != "blue" for s in scenes if s["tier"] == "shapes" and len(s["objects"]) > 3
        for o in s["objects"]]
yes = [q["answer"] == "yes" for s in scenes for q in s["questions"]]
for name, x in (("caption.few", few), ("caption.many", many), ("vqa.all", yes)):
    assert abs(float(v[name + ".score"]) - 100 * sum(x) / len(x)) < 0.01 and int(v[name + ".n"]) == len(x), name
END
ok 'counted as they are' $?
t 'guesses beside it' 1 mm-eval world --ref world/scenes.jsonl --pred right.jsonl --blind broken.jsonl \
    --wrong right.jsonl --bootstrap 20 --want --table
has 'with a verdict' out '^questions: color  *[0-9]*  *100.0 \[100.0, 100.0\] >= 85 ok  *[0-9.]*  *0.0  *100.0 short$'
grep -v image_id right.jsonl >answers.jsonl
t 'answers alone' 0 mm-eval world --ref world/scenes.jsonl --pred answers.jsonl --want
grep -q '^caption' out
test $? = 1
ok 'have no captions' $?
sed 5d right.jsonl >less.jsonl
t 'a missing answer' 65 mm-eval world --ref world/scenes.jsonl --pred less.jsonl
t 'may be missing with --partial' 0 mm-eval world --ref world/scenes.jsonl --pred less.jsonl --partial
t 'a scene twice' 65 mm-eval world --ref world/scenes.jsonl --ref world/scenes.jsonl --pred right.jsonl
mm-synth -s 1 --split test --objects 1 --format vqa -o one
t "the page's caption" 0 sh -c "echo '{\"image_id\":\"shapes-test-1-00000000\",\"text\":\"a large pink arrow on the right.\"}' |
    mm-eval world --ref one/scenes.jsonl --pred - --partial --table"
has 'is a scene' out '^shapes, 1-3 objects: scenes right  *1  *100.0 '

# hostile files
for bad in '' '{' '[1]' '[[]]' '"x"' '[{"id":{}}]' '[{"id":1,"text":[]}]' '{"id":1' \
    '[{"id":1,"text":null}]' '[{"id":1,"text":"\ud800"}]' '[{"id":1,"error":"x"}]'; do
    printf '%s' "$bad" >bad.json
    t "refuses $bad" 65 mm-eval exact --pred bad.json --ref ref.json --partial
done
dd if=/dev/zero bs=1000 count=200 2>/dev/null | tr '\0' '[' >deep.json
t 'refuses deep nesting' 65 mm-eval exact --pred deep.json --ref ref.json
echo '[{"id":1,"label":"no"}]' >label.json
echo '[{"id":1,"txt":"no"}]' >bad.json
t 'pope: an answer without text' 65 mm-eval pope --pred bad.json --ref label.json
t 'no such file' 66 mm-eval exact --pred nowhere.json --ref ref.json
for args in 'vqa --pred p' 'vqa --ref r' 'nothing --pred p --ref r' '' 'vqa exact --pred p --ref r' \
    'auc --pred p --ref r --judge j' 'bench --pred p --ref r' 'vqa --pred p --ref r --ref q' \
    'vqa --pred p --ref r --table --json' 'scienceqa --pred p --ref r --judge j' \
    'vqa --pred p --ref r --bootstrap 0' 'vqa --pred p --ref r --want' 'vqa --pred p --ref r --blind b' \
    'world --ref r --blind b' 'vqa --pred - --ref -' 'world --ref - --ref - --pred p' \
    "pope --pred $g/pope/answers.jsonl --questions $g/pope/questions.jsonl --ref $g/pope/coco/coco_pope_random.json --ref $g/pope/coco/coco_pope_random.json"; do
    # shellcheck disable=SC2086
    t "usage: $args" 64 mm-eval $args
done

# the page's example
echo '[{"id":1,"answer":"red"},{"id":2,"answer":"two"}]' >ref.json
echo '[{"id":1,"text":"Red."},{"id":2,"text":"3"}]' | mm-eval exact --pred - --ref ref.json >out
near "the page's example" "$(value exact_match_normalized out)" 50
finish
