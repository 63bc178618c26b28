#!/bin/sh
# eval: make eval with a small model of random weights: every stage runs, resumes, and is
# made anew when the model changed.
. "$TOP/tests/pipe/lib.sh"
mk=$TOP/scripts/eval/eval.mk

# evaluate [OPTION=VALUE ...]
evaluate() {
    make --no-print-directory -f "$mk" MODEL=model N=6 W=w BIN="$MM_BIN" SPRITES=sprites TOKENS=4 FACTS=40 FILL=60 "$@"
}

cp -r "$GOLDEN/llava/v15_hf/model" model
mkdir sprites
cat >make.py <<'P'
import numpy as np
for name, rgb in (('a', (200, 30, 30)), ('b', (30, 30, 200))):
    x = np.zeros((40, 40, 4), 'u1')
    x[4:36, 4:36] = rgb + (255,)
    np.save(name + '.npy', x)
P
"$PYTHON" make.py
for f in a b; do mm-pack -k image $f.npy | mm-unpack -o sprites/$f.png; done
for noun in ant bat bee cat cow dog duck fish fox frog goat hen lion mole ox owl pig rat seal wolf; do
    printf 'a.png\t%s\t%ss\tann\nb.png\t%s\t%ss\ttuxpaint\n' $noun $noun $noun $noun
done >sprites/sprites.tsv

t 'all of it' 0 evaluate JSON=scores.jsonl
has 'captions' out '^shapes, 1-3 objects: scenes right '
has 'things' out '^things: names, mean of nouns '
has 'by another artist' out '^held-back artist: names, mean of nouns '
has 'words' out '^words of the list: read, mean of words '
has 'beside chance and guesses' out '^questions: all  *[0-9]*  *[0-9.]* \[.*\] >= 95 [a-zA-Z]*  *[0-9.]*  *[0-9.]*  *[0-9.]* ok$'
has 'as JSON' scores.jsonl '^{"model": "model", "scenes": 6, "world": {"scenes": 120, "least_seen": [01].[0-9]*, .*}, "caption.few": {"label":'
has 'what is asked of it' out '^shapes, 1-3 objects: scenes right  *[0-9.]* \[.*\]  *>= 90  *\(ok\|short\)$'
has 'disjoint splits' out '^test scenes among 120 of training  *0  *<= 0  *ok$'
has 'guesses' out '^with a wrong picture, above chance (.*)  *-*[0-9.]* \[.*\]  *<= 5  *[a-z]*$'
has 'how much of it' out '^[0-9]* of 26 reached; asked of 2000 scenes a tier, these are 6$'
cp out first
t 'again' 0 evaluate
grep -q EVAL out
test $? = 1
ok 'nothing is left to do' $?
tail -n 40 first >a; tail -n 40 out >b
cmp -s a b
ok 'with the same scores' $?
rm w/model-6/words.seen.jsonl
t 'goes on' 0 evaluate
test "$(grep -c EVAL out)" = 1 && grep -q 'EVAL model words$' out
ok 'with what is missing' $?
sleep 1
touch model/*.safetensors
t 'another model' 0 evaluate
test "$(grep -c EVAL out)" = 10
ok 'answers anew' $?

# what was asked of which picture
"$PYTHON" - <<'P'
import json
def lines(f): return [json.loads(l) for l in open('w/world-6/shapes/' + f + '.jsonl')]
scenes, q = lines('scenes'), lines('questions')
asked, blind = map(lines, ('prompts', 'blind'))
ids, blind_ids = ([json.loads('{' + l[l.index('"'):] + '}') for l in open('w/world-6/shapes/' + f)] for f in ('ids', 'blind-ids'))
assert len(ids) == 2 * (len(scenes) + len(q)) == len(asked) == 2 * len(blind_ids)
assert len(blind) == len(set(b['prompt'] for b in blind)) and set(b['prompt'] for b in blind) == {x['text'] for x in q}
text = {x['question_id']: x['text'] for x in q}
names = ['images/%s.png' % s['id'] for s in scenes]
want = lambda i: text[i['question_id']] if 'question_id' in i else 'Describe this picture in one sentence.'
numbers = [int(l.split()[0]) for l in open('w/world-6/shapes/blind-ids')]
for i, k in zip(blind_ids, numbers):
    assert i['picture'] == 'blind' and (blind[k - 2]['prompt'] if k > 1 else want({})) == want(i)
for i, a in zip(ids, asked):
    shown = (names.index(i['image']) + (i['picture'] == 'wrong')) % len(names)
    assert (a['source'], a['prompt']) == (names[shown], '<image>\n' + want(i))
assert [a['source'] for a in asked] == sorted(a['source'] for a in asked)
key = lambda i: (i['image'], i.get('question_id', -1))
assert sorted(key(i) for i in ids if i['picture'] == 'wrong') == sorted(map(key, blind_ids))
got = [json.loads(l) for l in open('w/model-6/shapes.seen.jsonl')]
assert [(g['source'], g['picture'], key(g)) for g in got] == [([a['source']], b['picture'], key(b)) for a, b in zip(asked, ids)]
got = [json.loads(l) for l in open('w/model-6/shapes.blind.jsonl')]
assert [(g['picture'], key(g)) for g in got] == [('blind', key(b)) for b in blind_ids]
of = {}
for g, k in zip(got, numbers):
    assert of.setdefault(k, g['text']) == g['text'] and g['item'] == max(k - 2, 0)
P
ok 'each answer is of its question' $?
# words that test does not show are shown by val, each once here
"$PYTHON" - <<'P'
import json
def words(s): return [json.loads(l)['objects'][0]['noun'] for l in open('w/world-6/%s/scenes.jsonl' % s)]
fill = [json.loads(l) for l in open('w/world-6/fill/scenes.jsonl')]
asked = [json.loads(l) for l in open('w/world-6/fill/questions.jsonl')]
assert len(fill) > 20 and len(set(words('fill'))) == len(fill) and not set(words('fill')) & set(words('words'))
for s, q in zip(fill, asked):
    assert s['fill'] and s['split'] == 'val' and not s['held'] and len(s['questions']) == 1
    assert q['question_id'] == 64 * s['index'] and q['image'] == 'images/%s.png' % s['id']
    assert q['text'] == s['questions'][0]['question'] and s['questions'][0]['answer'] == s['objects'][0]['noun']
P
ok 'words that test lacks are filled in' $?

# --- scores that are known
cat >known.json <<'J'
{"model": "m", "scenes": 2000, "world": {"least_seen": 0.750, "compared": 9, "shared": 1, "wordings": 8, "kept": 2, "unbalanced": "size", "above_share": 5.10}, "caption.few": {"label": "a \"few\"", "n": 7, "score": 90.0, "blind": 3.5, "chance": 0.0, "ci95": {"score": [88.123, 91.5], "blind": [2, 4]}}, "words.list": {"label": "list", "score": 85.0, "groups": 199}, "words.unseen": {"label": "unseen", "score": 39.9, "groups": 50}, "vqa.held": {"score": 99, "label": "held", "chance": 30.0, "blind": 36.5, "wrong": 34.0, "ci95": {"blind": [30, 38]}}}
J
awk -f "$TOP/scripts/eval/flat.awk" known.json >flat
has 'members of members' flat '^caption.few.ci95.score.1	91.5$'
has 'text as written' flat '^caption.few.label	a \\"few\\"$'
awk -f "$TOP/scripts/eval/verdict.awk" flat >out
has 'as much as is asked' out '^a .*few.*  90.0 \[88.1, 91.5\]  *>= 90  *ok$'
has 'a word too few' out '^list (199 words)  *85.0  *>= 80  *short$'
has 'too low' out '^unseen (50 words)  *39.9  *>= 40  *short$'
has 'not measured' out '^vqa.all  *-  *>= 95  *short$'
has 'the worst guess' out '^without the picture, above chance (vqa.held)  *6.5 \[0.0, 8.0\]  *<= 5  *short$'
has 'the other' out '^with a wrong picture, above chance (vqa.held)  *4.0  *<= 5  *ok$'
has 'hidden' out '^the most that is hidden.*  25.0  *<= 25  *ok$'
has 'unbalanced' out '^answers: .*(size)  *5.1  *<= 5  *short$'
has 'scenes of both' out '^test scenes among 9 of training  *1  *<= 0  *short$'
has 'in all' out '^6 of 26 reached$'
t 'a model that is not there' 2 evaluate MODEL=nowhere
finish
