#!/bin/sh
# eval: make eval with a small model of random weights: every stage runs, resumes, and is
# made anew when the model changed.
. "$TOP/tests/pipe/lib.sh"
mk=$TOP/scripts/eval/eval.mk

# evaluate [OPTION=VALUE ...]
evaluate() {
    make --no-print-directory -f "$mk" MODEL=model N=6 W=w BIN="$MM_BIN" SPRITES=sprites TOKENS=4 "$@"
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
has 'as JSON' scores.jsonl '^{"model": "model", "caption.few": {"label":'
cp out first
t 'again' 0 evaluate
grep -q EVAL out
test $? = 1
ok 'nothing is left to do' $?
tail -n 12 first >a; tail -n 12 out >b
cmp -s a b
ok 'with the same scores' $?
rm w/model-6/words.seen.jsonl
t 'goes on' 0 evaluate
test "$(grep -c EVAL out)" = 1 && grep -q 'EVAL model words$' out
ok 'with what is missing' $?
sleep 1
touch model/*.safetensors
t 'another model' 0 evaluate
test "$(grep -c EVAL out)" = 8
ok 'answers anew' $?

# what was asked of which picture
"$PYTHON" - <<'P'
import json
def lines(f): return [json.loads(l) for l in open('w/world-6/shapes/' + f + '.jsonl')]
scenes, q = lines('scenes'), lines('questions')
asked, blind = map(lines, ('prompts', 'blind'))
ids, blind_ids = ([json.loads('{' + l + '}') for l in open('w/world-6/shapes/' + f)] for f in ('ids', 'blind-ids'))
assert len(ids) == 2 * (len(scenes) + len(q)) == len(asked) and 2 * len(blind_ids) == 2 * len(blind) == len(asked)
text = {x['question_id']: x['text'] for x in q}
names = ['images/%s.png' % s['id'] for s in scenes]
want = lambda i: text[i['question_id']] if 'question_id' in i else 'Describe this picture in one sentence.'
for i, b in zip(blind_ids, blind):
    assert i['picture'] == 'blind' and b['prompt'] == want(i)
for i, a in zip(ids, asked):
    shown = (names.index(i['image']) + (i['picture'] == 'wrong')) % len(names)
    assert (a['source'], a['prompt']) == (names[shown], '<image>\n' + want(i))
assert [a['source'] for a in asked] == sorted(a['source'] for a in asked)
key = lambda i: (i['image'], i.get('question_id', -1))
assert sorted(key(i) for i in ids if i['picture'] == 'wrong') == sorted(map(key, blind_ids))
for f, of, i in (('seen', asked, ids), ('blind', blind, blind_ids)):
    got = [json.loads(l) for l in open('w/model-6/shapes.%s.jsonl' % f)]
    assert [(g['source'], g['picture'], key(g)) for g in got] == [([a['source']], b['picture'], key(b)) for a, b in zip(of, i)]
P
ok 'each answer is of its question' $?
t 'a model that is not there' 2 evaluate MODEL=nowhere
finish
