#!/bin/sh
# mm-synth: every format, the same bytes for the same seed, splits, refusals.
. "$TOP/tests/pipe/lib.sh"

# digest FILE...: one number for all bytes
digest() {
    cat "$@" | cksum
}

t "records" 0 mm-synth -s 3 -n 20
mv out a.mmt
t "are a stream" 0 mm-ls --json a.mmt
has "with pictures" out '"dtype":"u8","shape":\[64,64,3\],.*"modality":"image","item":0,"kind":"image","name":"shapes-train-3-00000000"'
has "with captions" out '"type":"text".*"item":19,"kind":"text","name":"caption"'
has "with scenes" out '"type":"json".*"kind":"scene"'
test "$(wc -l <out)" = 60
ok "three records an item" $?
mm-synth -s 3 -n 20 -j 1 | cmp -s - a.mmt
ok "the same bytes for one thread" $?
mm-synth -s 3 -n 20 -o b.mmt && cmp -s a.mmt b.mmt
ok "and in a file" $?
mkdir there && mm-synth -s 3 -n 20 --format records -o there && cmp -s there/records.mmt a.mmt
ok "and in a folder" $?
mm-synth -n 2 --format webdataset -o new/ && tar tf new/webdataset.tar >/dev/null &&
    mm-synth -n 2 --format text -o new/ && [ -s new/text.txt ]
ok "or in one that is made" $?
mm-synth -s 4 -n 20 | cmp -s - a.mmt
test $? = 1
ok "another seed is another world" $?
mm-synth -s 3 -n 5 --first 15 >tail.mmt
mm-ls --json -- tail.mmt | sed -n 's/.*"text":"\(.*\)".*/\1/p' >tail.txt
mm-ls --json -- a.mmt | sed -n 's/.*"text":"\(.*\)".*/\1/p' | tail -n 5 >all.txt
test -s tail.txt && cmp -s tail.txt all.txt
ok "--first goes to an item at once" $?
mm-synth -n 3 --size 112 --tier shapes | mm-ls --json >out
has "--size" out '"shape":\[112,112,3\]'

t "text" 0 mm-synth -s 3 -n 2000 --format text
cp out train.txt
t "text of test" 0 mm-synth -s 3 -n 500 --split test --format text
cp out test.txt
has "has the wordings of training" train.txt '^Is there an* [a-z ]*? '
grep -q 'Can you see an* [a-z ]* in the picture?' train.txt
test $? = 1
ok "and not those of test" $?
has "which test has" test.txt 'Can you see an* [a-z ]* in the picture?'
grep -q 'red square' train.txt
test $? = 1
ok "a held-out pair is not in training" $?
has "but in test" test.txt 'red square'
mm-synth -s 3 -n 500 --split test --held none --format text | grep -q 'red square'
test $? = 1
ok "nor there with --held none" $?

t "llava" 0 mm-synth -s 3 -n 20 --format llava -o lv
t "coco" 0 mm-synth -s 3 -n 20 --format coco -o coco
t "refcoco" 0 mm-synth -s 3 -n 20 --format refcoco -o ref
t "vqa" 0 mm-synth -s 3 -n 20 --format vqa -o vqa
t "webdataset" 0 mm-synth -s 3 -n 20 --format webdataset -o w.tar
cat >check.py <<'P'
import json, sys, tarfile
lv = json.load(open('lv/llava.json'))
assert len(lv) == 20 and all(r['conversations'][0]['value'].startswith('<image>\n') for r in lv)
assert all(' ' not in r['conversations'][1]['value'] for r in lv)
assert all(r['conversations'][i]['from'] == ('human', 'gpt')[i % 2] for r in lv for i in range(len(r['conversations'])))
co = json.load(open('coco/instances.json'))
ids = {i['id'] for i in co['images']}
cats = {c['id'] for c in co['categories']}
assert len(ids) == 20 and cats == set(range(1, 11))
assert all(a['image_id'] in ids and a['category_id'] in cats for a in co['annotations'])
assert len({a['id'] for a in co['annotations']}) == len(co['annotations'])
for a in co['annotations']:
    x, y, w, h = a['bbox']
    s = a['segmentation']
    assert 0 <= x and 0 <= y and x + w <= 64 and y + h <= 64 and 0 < a['area'] <= w * h
    if isinstance(s, dict):
        assert sum(s['counts']) == 64 * 64 and sum(s['counts'][1::2]) == a['area']
    else:
        p = s[0]
        n = len(p) // 2
        area = abs(sum(p[2 * i] * p[(2 * i + 3) % (2 * n)] - p[(2 * i + 2) % (2 * n)] * p[2 * i + 1] for i in range(n))) / 2
        assert abs(area - a['area']) < 0.12 * area + 4, (area, a['area'])
        assert min(p[::2]) >= x - 3 and max(p[::2]) <= x + w + 3
caps = json.load(open('coco/captions.json'))
assert len(caps['annotations']) == 100 and len(caps['images']) == 20
# pycocotools: loadRes copies info; of a file with categories each annotation has one
assert all(d['info'] and d['licenses'] == [] for d in (co, caps)) and 'categories' not in caps
refs = json.load(open('ref/refs.json'))
anns = {a['id'] for a in json.load(open('ref/instances.json'))['annotations']}
assert all(r['ann_id'] in anns and r['sentences'] for r in refs)
assert all(' '.join(s['tokens']) == s['sent'] for r in refs for s in r['sentences'])
assert all(r['sent_ids'] == [s['sent_id'] for s in r['sentences']] for r in refs)
assert len({i for r in refs for i in r['sent_ids']}) == sum(len(r['sent_ids']) for r in refs)
t = tarfile.open('w.tar')
names = [m.name for m in t]
assert len(names) == 60 and names[0].endswith('0.png') and names[1].endswith('0.txt') and names[2].endswith('0.json')
scene = json.load(t.extractfile(names[2]))
ask, right, scenes = ([json.loads(l) for l in open('vqa/%s.jsonl' % f)] for f in ('questions', 'answers', 'scenes'))
assert scenes[0] == scene and len(scenes) == 20
assert [q['question_id'] for q in ask] == [a['question_id'] for a in right]
assert [(q['text'], a['answer'], q['category']) for q, a in zip(ask, right)] == \
    [(q['question'], q['answer'], q['type']) for s in scenes for q in s['questions']]
assert {q['image'] for q in ask} == {r['image'] for r in lv}
assert t.extractfile(names[1]).read().decode() == scene['captions'][0]
assert t.extractfile(names[0]).read() == open('lv/' + lv[0]['image'], 'rb').read()
assert len(scene['objects']) in range(1, 7) and scene['id'] == lv[0]['id']
P
"$PYTHON" check.py
ok "hold what others read" $?
mm-synth -s 3 -n 1 | mm-cut -k image >one.mmt && mm-pack -n shapes-train-3-00000000 lv/images/shapes-train-3-00000000.png |
    mm-diff one.mmt - >/dev/null
ok "the same picture everywhere" $?
mm-synth -s 3 -n 20 --format llava -o lv2 -j 1
test "$(digest lv/llava.json lv/images/*)" = "$(digest lv2/llava.json lv2/images/*)"
ok "the same folder for one thread" $?

t "words in few pixels" 0 mm-synth -v -n 100 --size 16 --tier words,shapes --format coco -o few
has "made as fast as -v says" err '^mm-synth: 100 items in [0-9.]* s: [0-9]* a second$'
cat >few.py <<'P'
import json
boxes = [a['bbox'] for a in json.load(open('few/instances.json'))['annotations']]
assert 100 < len(boxes) and all(x + w <= 16 and y + h <= 16 and w > 0 and h > 0 for x, y, w, h in boxes)
P
"$PYTHON" few.py
ok "have boxes where they have pixels" $?

t "words" 0 mm-synth -s 3 -n 400 --tier words --format text
has "are read" out '^What does it say? [a-z]*$'
grep -q 'word \(torch\|swan\|vase\|wolf\|apple\|snail\|mango\|peach\|tent\|sock\) ' out
test $? = 1
ok "held-out words are not in training" $?
t "words of test" 0 mm-synth -s 3 -n 400 --tier words --split test --format text
has "but in test" out 'word \(torch\|swan\|vase\|wolf\|apple\|snail\|mango\|peach\|tent\|sock\) '
t "invented words" 0 mm-synth -s 3 -n 300 --tier words --invented 0.5 --format text
sed -n 's/^What does it say? //p' out | sort -u >read
test "$(wc -l <read)" -gt 30 && grep -vq '^[a-z]\{3,5\}$' read
test $? = 1
ok "have three to five letters" $?
t "the lists" 0 mm-synth -s 3 -n 4000 --tier words --format text
sed -n 's/^What does it say? //p' out | sort -u >listed
test "$(comm -23 read listed | wc -l)" -gt 15
ok "and are not of the lists" $?
t "shapes and words" 0 mm-synth -s 3 -n 50 --tier shapes,words --format text
has "have words" out 'word'
has "and shapes" out 'circle'

t "regions" 0 mm-synth -s 3 -n 60 --tier shapes,words --format regions -o regions -j 2
t "their scenes" 0 mm-synth -s 3 -n 60 --tier shapes,words --format vqa -o regions-vqa
cat >regions.py <<'P'
import json, os
pictures = json.load(open('regions/region_descriptions.json'))
scenes = [json.loads(l) for l in open('regions-vqa/scenes.jsonl')]
assert [p['id'] for p in pictures] == list(range(60))
assert {s['tier'] for s in scenes} == {'shapes', 'words'}
for p, s in zip(pictures, scenes):
    assert p['image'] == 'images/%s.png' % s['id'] and os.path.exists('regions/' + p['image'])
    assert all(r['region_id'] == 64 * p['id'] + k for k, r in enumerate(p['regions']))
    want = []
    for o in s['objects']:
        said = [o['noun'], o['color']] + ([o['size'], o['place']] if s['tier'] == 'shapes' else [])
        want += [(o['box'], phrase) for phrase in said if o['box'][2] > 0]
    box = [[r[m] for m in ('x', 'y', 'width', 'height')] for r in p['regions']]
    got = [(b, r['phrase']) for b, r in zip(box, p['regions'])]
    assert got[:len(want)] == want
    assert all(0 <= x < x + w <= 64 and 0 <= y < y + h <= 64 for x, y, w, h in box)
    assert all(r['image_id'] == p['id'] for r in p['regions'])
    if s['tier'] == 'shapes':
        assert len(got) == len(want)
        continue
    letters = got[len(want):]
    assert letters and all(phrase.startswith('letter ') for _, phrase in letters)
    letters.sort(key=lambda l: 2 * l[0][0] + l[0][2])
    assert ''.join(phrase[7:] for _, phrase in letters) == s['objects'][0]['noun']
    x, y, w, h = s['objects'][0]['box']
    assert all(x - 2 <= a and a + c <= x + w + 2 and y - 2 <= b and b + d <= y + h + 2
               for (a, b, c, d), _ in letters)
P
"$PYTHON" regions.py
ok "say what the scenes say, letter by letter" $?
mm-synth -s 3 -n 60 --tier shapes,words --format regions -o regions1 -j 1
test "$(digest regions/*.json regions/images/*)" = "$(digest regions1/*.json regions1/images/*)"
ok "the same regions for one thread" $?

# pictures of things: two nouns, one of them by two artists
mkdir sprites
cat >make.py <<'P'
import numpy as np
for name, rgb in (('a', (200, 30, 30)), ('b', (30, 30, 200)), ('c', (30, 160, 30))):
    x = np.zeros((40, 40, 4), 'u1')
    x[4:36, 4:36] = rgb + (255,)
    np.save(name + '.npy', x)
P
"$PYTHON" make.py
for f in a b c; do mm-pack -k image $f.npy | mm-unpack -o sprites/$f.png; done
printf 'a.png\tox\toxen\tann\nb.png\tox\toxen\tbob\nc.png\tant\tants\tann\n' >sprites/sprites.tsv
t "things" 0 mm-synth -s 3 -n 200 --tier things --sprites sprites --format text
has "have names" out '^Is there an ox?'
has "in the plural" out 'oxen'
printf 'a.png\t6" n\\b\303\251\tmany 6"\tann\nb.png\tox\toxen\tbob\n' >quoted.tsv
mkdir quoted && cp sprites/*.png quoted && mv quoted.tsv quoted/sprites.tsv
t "names with quotes" 0 mm-synth -n 9 --tier things --sprites quoted --format refcoco -o qr
cat >quoted.py <<'P'
import json
said = [s for r in json.load(open('qr/refs.json')) for s in r['sentences']]
assert any('6" n\\b\u00e9' in s['sent'] for s in said)
assert all(' '.join(s['tokens']) == s['sent'] == s['raw'] for s in said)
assert '6" n\\b\u00e9' in [c['name'] for c in json.load(open('qr/instances.json'))['categories']]
P
"$PYTHON" quoted.py
ok "stay what they are" $?
t "with scenes" 0 mm-synth -n 50 --tier things --sprites sprites --format webdataset -o t.tar
printf 'a.png\tpolar bear\tpolar bears\tann\nb.png\tfire engine\tfire engines\tbob\n' >quoted/sprites.tsv
t "nouns of two words" 0 mm-synth -n 60 --tier things --sprites quoted --questions 1 --format llava -o two
t "talks of what not all scenes have" 0 mm-synth -n 60 --turns reason --format llava -o why
cat >talks.py <<'P'
import json
two, why = (json.load(open(f + '/llava.json')) for f in ('two', 'why'))
assert len(two) == 60 and all(' ' not in r['conversations'][1]['value'] for r in two)
assert 0 < len(why) < 60 and all(r['conversations'] for r in why)
P
"$PYTHON" talks.py
ok "begin with a short question, none is empty" $?
t "regions of things" 0 mm-synth -n 5 --objects 1 --tier things --sprites sprites \
    --format regions -o tr
test "$(grep -o '"phrase":"[a-z ]*"' tr/region_descriptions.json | wc -l)" = 15
ok "are noun, size and place" $?
t "without the held-back artist" 0 mm-synth -n 50 --tier things --sprites sprites --hold-artist bob --format webdataset -o u.tar
tar xf t.tar && cat things-*.json >t.json && rm things-* && tar xf u.tar && cat things-*.json >u.json
has "both artists" t.json '"artist":"bob"'
grep -q '"artist":"bob"' u.json
test $? = 1
ok "one artist" $?
t "that artist alone" 0 mm-synth -n 10 --split test --objects 1 --tier things --sprites sprites --hold-artist bob --held artist --format webdataset -o v.tar
rm things-* && tar xf v.tar && cat things-*.json >v.json
grep -q '"artist":"ann"' v.json
test $? = 1
ok "draws all" $?
mm-synth -n 10 --tier things,shapes,words --sprites sprites -j 2 >j2.mmt
mm-synth -n 10 --tier things,shapes,words --sprites sprites -j 1 | cmp -s - j2.mmt
ok "all tiers, the same bytes for one thread" $?
printf 'd.png\tcow\tcows\tann\n' >sprites/sprites.tsv
t "a picture that is not there" 66 mm-synth --tier things --sprites sprites -o x.mmt
printf 'd.png\tcow\n' >sprites/sprites.tsv
t "a line without artist" 65 mm-synth --tier things --sprites sprites -o x.mmt
for what in 'no plural:ox\t\tann' 'no noun:\toxen\tann' 'a bad noun:o\377x\toxen\tann' \
    'a bad plural:ox\t\376\tann' 'NUL:ox\toxen\tann\000'; do
    printf "a.png\t${what#*:}\n" >sprites/sprites.tsv
    t "a table with ${what%%:*}" 65 mm-synth --tier things --sprites sprites -o x.mmt
done
not_there "leaves nothing" x.mmt
printf 'a.png\tox\toxen\tann\r\nb.png\tox\toxen\tbob\t\r\nc.png\tant\tants\tann\t\r\n' >sprites/sprites.tsv
t "a table with CR at line ends" 0 mm-synth -n 5 --tier things --sprites sprites --hold-artist bob --format webdataset -o cr.tar
tar xOf cr.tar >cr.txt
has "has the same artists" cr.txt '"artist":"ann"'
t "an artist who drew nothing" 65 mm-synth --tier things --sprites sprites --hold-artist carl -o x.mmt
same "is named" err "mm-synth: sprites/sprites.tsv: no pictures by 'carl'"
t "an artist without pictures to draw from" 64 mm-synth --hold-artist bob -o x.mmt
t "no noun by two artists" 65 mm-synth --split test --held artist --tier things --sprites quoted --hold-artist bob -o x.mmt
same "is said" err "mm-synth: quoted: no noun that 'bob' and another artist drew"
t "no held-out pair" 65 mm-synth --split test --held pairs --tier things --sprites sprites -o x.mmt
same "is said, too" err "mm-synth: sprites: no two nouns are a held-out pair"
t "is no reason to have no test scenes" 0 mm-synth -n 40 --split test --tier things --sprites sprites --format text
t "an artist to hold back, none named" 64 mm-synth --split test --tier things --sprites sprites --held artist -o x.mmt

t "clips" 0 sh -c 'mm-synth -s 3 -n 5 --tier clips --size 48 | mm-ls --json'
has "are frames" out '"shape":\[8,48,48,3\],.*"modality":"video",.*"fps":"8"'
t "sounds" 0 sh -c 'mm-synth -s 3 -n 5 --tier sounds | mm-ls --json'
has "are samples" out '"dtype":"f32","shape":\[1,32000\],.*"rate":"16000",.*"kind":"samples"'
t "clips and sounds as files" 0 mm-synth -s 3 -n 12 --tier clips,sounds --format llava -o av
cat >av.py <<'P'
import json, os, wave
for r in json.load(open('av/llava.json')):
    kind = 'video' if 'video' in r else 'audio'
    assert r['conversations'][0]['value'].startswith('<%s>\n' % kind)
    path = 'av/' + r[kind]
    if kind == 'video':
        assert open(path, 'rb').read(8)[4:] == b'ftyp'
    else:
        w = wave.open(path)
        assert (w.getframerate(), w.getnchannels(), w.getnframes()) == (16000, 1, 32000)
P
"$PYTHON" av.py
ok "MP4 and WAV" $?
mm-synth -s 3 -n 12 --tier clips,sounds --format llava -o av2 -j 1
test "$(digest av/llava.json av/videos/* av/sounds/*)" = "$(digest av2/llava.json av2/videos/* av2/sounds/*)"
ok "the same files for one thread" $?
t "sounds in words" 0 mm-synth -s 3 -n 300 --tier sounds --format text
has "pitch" out '^Is the [a-z ]* high or low? \(high\|low\)$'
has "order" out '^Can you hear the [a-z ]* before the '
t "no sounds" 65 mm-synth --tier cries --sprites sprites -o x.mmt
cat >cry.py <<'P'
import numpy as np, wave
for name, hz in (('a', 300), ('b', 1200)):
    w = wave.open('sprites/%s.wav' % name, 'wb')
    w.setnchannels(1); w.setsampwidth(2); w.setframerate(22050)
    w.writeframes((8000 * np.sin(np.arange(33000) * 2 * np.pi * hz / 22050)).astype('<i2').tobytes())
    w.close()
P
"$PYTHON" cry.py
printf 'a.png\tox\toxen\tann\ta.wav\nb.png\tcat\tcats\tbob\tb.wav\nc.png\tant\tants\tann\n' >sprites/sprites.tsv
t "cries" 0 sh -c 'mm-synth -n 20 --tier cries --sprites sprites | mm-ls --json'
has "are samples" out '"shape":\[1,32000\],.*"modality":"audio",.*"kind":"samples"'
has "of one thing" out '"text":"a cat."'
grep -q 'an ant' out
test $? = 1
ok "that has a sound" $?

soundfont=/usr/share/sounds/sf2/TimGM6mb.sf2
t "notes without a soundfont" 64 mm-synth --tier notes -o x.mmt
has "say what they need" err '^mm-synth: --tier notes needs --soundfont$'
t "no such soundfont" 66 mm-synth --tier notes --soundfont nowhere.sf2 -o x.mmt
t "a soundfont that is none" 65 mm-synth --tier notes --soundfont a.mmt -o x.mmt
same "is named" err "mm-synth: a.mmt: not a soundfont that fluidsynth can read"
not_there "notes leave nothing" x.mmt
if [ -r "$soundfont" ]; then
    head -c 100000 "$soundfont" >half.sf2
    t "half a soundfont" 65 mm-synth --tier notes --soundfont half.sf2 -o x.mmt
    t "notes" 0 sh -c "mm-synth -s 3 -n 40 --tier notes --soundfont $soundfont | mm-ls --json"
    has "are two channels" out '"dtype":"f32","shape":\[2,32000\],.*"rate":"16000",.*"kind":"samples"'
    has "of instruments" out '"text":"an* \(low\|high\) [a-z ]*\(on the left\|in the center\|on the right\)'
    mm-synth -s 3 -n 40 -j 1 --tier notes --soundfont "$soundfont" | cksum >j1
    mm-synth -s 3 -n 40 -j 3 --tier notes --soundfont "$soundfont" | cksum | cmp -s - j1
    ok "the same bytes whatever the threads" $?
    mm-synth -s 3 -n 40 -j 1 --tier notes --soundfont "$soundfont" --format webdataset -o all.tar
    mm-synth -s 3 -n 1 --first 39 --tier notes --soundfont "$soundfont" --format webdataset -o last.tar
    tar xOf all.tar notes-train-3-00000039.wav >all.wav && tar xOf last.tar notes-train-3-00000039.wav >last.wav
    test -s last.wav && cmp -s all.wav last.wav
    ok "nor what was played before" $?
    t "notes as files" 0 mm-synth -s 3 -n 30 --tier notes --soundfont "$soundfont" --plain --format webdataset -o n.tar
    cat >notes.py <<'P'
import io, json, tarfile, wave
import numpy as np
t = tarfile.open('n.tar')
for name in t.getnames():
    if not name.endswith('.json'):
        continue
    s = json.load(t.extractfile(name))
    w = wave.open(io.BytesIO(t.extractfile(name[:-4] + 'wav').read()))
    assert (w.getframerate(), w.getnchannels(), w.getnframes()) == (16000, 2, 32000)
    x = np.frombuffer(w.readframes(32000), '<i2').reshape(-1, 2).astype('f8')
    for o in s['objects']:
        at = int(o['start'] * 16000) + 32
        left, right = (x[at:at + 4000] ** 2).sum(0)
        assert o['side'] == ('left' if left > 2 * right else 'right' if right > 2 * left else 'center'), (name, o)
    assert s['rhythm'] in ('fast', 'slow') and len(s['objects']) in (1, 2, 3)
P
    "$PYTHON" notes.py
    ok "from the side that they say" $?
    t "notes in talk" 0 mm-synth -s 3 -n 20 --tier notes --soundfont "$soundfont" --format llava -o notes
    has "about sounds" notes/llava.json '<audio>'
    t "notes in words" 0 mm-synth -s 3 -n 400 --tier notes --soundfont "$soundfont" --format text
    has "names" out '^Which instrument makes the [a-z ]*? [a-z]*$'
    has "pitch" out '^Is the [a-z ]* high or low? \(high\|low\)$'
    has "chords" out '^Is the [a-z ]* a note or a chord? \(note\|chord\)$'
    has "sides" out '^Left, center or right: where is the [a-z ]*? \(left\|center\|right\)$'
    has "order" out '^Does the [a-z ]* come before the [a-z ]*? \(yes\|no\)$'
    has "number" out '^How many [a-z]* sounds are there? [0-3]$'
    grep -q 'Is the [a-z ]* a chord or a note?' out
    test $? = 1
    ok "without the wordings of test" $?
    grep -q 'bell.*, then.*saxophone\|saxophone.*, then.*bell' out
    test $? = 1
    ok "a held-out pair is not in training" $?
    t "notes of test" 0 mm-synth -s 3 -n 400 --tier notes --split test --held pairs --soundfont "$soundfont" --format text
    has "but in test" out 'bell.*, then.*saxophone\|saxophone.*, then.*bell'
else
    skip "instruments" "timgm6mb-soundfont is not installed"
fi
t "notes as COCO" 64 mm-synth --tier notes --soundfont "$soundfont" --format coco -o x
t "masks" 0 sh -c 'mm-synth -n 2 --masks | mm-ls --json'
has "are records" out '"dtype":"u8","shape":\[64,64\],.*"kind":"mask","name":"mask"'
t "masks in a folder" 64 mm-synth --masks --format coco -o x
t "clips as COCO" 64 mm-synth --tier clips --format coco -o x
t "clips as regions" 64 mm-synth --tier clips --format regions -o x
same "are refused" err "mm-synth: --format regions is for pictures
usage: mm-synth [-qv] [-s seed] [-n items] [--first i] [--split word] [--format word] [-o output]"
t "clips of odd size" 64 mm-synth --tier clips --size 33 -o x.mmt

cat >sentences.py <<'END'
import json, re
asked = 0
for talk in json.load(open("told/llava.json")):
    turns = [t["value"].removeprefix("<image>\n") for t in talk["conversations"]]
    short = dict(zip(turns[::2], turns[1::2]))
    for question, answer in short.items():
        plain = re.sub(r" (Answer in a|Answer in a whole|Use a whole) sentence\.$", "", question)
        if plain == question:
            continue
        asked += 1
        word = short.get(plain)
        ok = re.fullmatch(r"[A-Z][^.%]*\.", answer) is not None
        if word in ("yes", "no"):
            ok = ok and answer.startswith(word.capitalize() + ", ")
        elif word:
            ok = ok and re.search(r"\b%s\b" % ("no" if word == "0" else word), answer) is not None
        if not ok:
            print(question, answer, word)
print(asked > 200)
END
t "answers as sentences" 0 mm-synth -n 60 --tier shapes,words --questions 16 --turns qa,sentence --format llava -o told
"$PYTHON" sentences.py >out
same "say what the words say" out True

# a folder of which the pictures are being made again is without its list
t "a folder" 0 mm-synth -n 4 --format llava -o again
mm-synth -n 100000 --size 128 --format llava -o again &
synth=$!
i=0
until [ -e again/images/shapes-train-0-00000300.png ] || [ $i = 100 ]; do sleep 0.1; i=$((i + 1)); done
kill -9 $synth
wait $synth 2>killed
not_there "made anew and killed has no list" again/llava.json
rm -rf again/llava.json.* && mkdir -p full/llava.json
t "a folder in the way of the list" 74 mm-synth --format llava -o full
t "more items than there are numbers for" 64 mm-synth -n 1 --first 100000000000000 --format text
if [ "$CONFIG" = san ]; then
    skip "large clips take no more memory" "sanitizers take all there is"
else
    # 128 clips of 1024 are 3 GB
    (ulimit -v 1000000; mm-synth -j 1 -n 200 --tier clips --size 1024 --objects 1 --plain | head -c 9 | grep -q mmts)
    ok "large clips take no more memory" $?
fi

t "no items" 0 sh -c 'mm-synth -n 0 | mm-ls'
t "an operand" 64 mm-synth x
t "no such tier" 64 mm-synth --tier shapes,birds
t "things without sprites" 64 mm-synth --tier things
t "held-out pairs in training" 64 mm-synth --held pairs -o x.mmt
same "is refused" err "mm-synth: --held pairs is for --split test
usage: mm-synth [-qv] [-s seed] [-n items] [--first i] [--split word] [--format word] [-o output]"
t "no round of questions" 64 mm-synth --rounds 0
t "short answers without questions" 64 mm-synth --questions 0 --turns qa,reason --format llava -o x
same "are refused" err "mm-synth: --turns qa and reason need --questions
usage: mm-synth [-qv] [-s seed] [-n items] [--first i] [--split word] [--format word] [-o output]"
t "a folder format without -o" 64 mm-synth --format llava
t "half hidden" 64 mm-synth --hidden 0.5 -o x.mmt
t "objects the wrong way round" 64 mm-synth --objects 5-2 -o x.mmt
t "no such sprites" 66 mm-synth --tier things --sprites nowhere -o x.mmt
t "no such font" 66 mm-synth --tier words --font nowhere.ttf -o x.mmt
same "is said" err "mm-synth: nowhere.ttf: No such file or directory"
t "a font that is none" 65 mm-synth --tier words --font a.mmt -o x.mmt
not_there "nothing is left" x.mmt
t "a full disk" 74 sh -c 'mm-synth -n 20 >/dev/full'
t "a file where the folder is to be" 74 mm-synth --format coco -o a.mmt
finish
