# card: a model's page from scores, configuration, logs and a template
. "$TOP/tests/pipe/lib.sh"
card() { sh "$TOP/scripts/eval/card" "$@"; }
score() { printf '{"model": "%s", "scenes": 2000, "world": {"least_seen": 0.8}, "caption.few": {"label": "few", "n": 7, "score": %s, "chance": 0.0, "blind": 1.25, "ci95": {"score": [80.0, 92.04]}}, "names.artist": {"label": "artist", "n": 3, "score": 30.0, "chance": 0}}\n' "$1" "$2"; }
score small 91.0 >scores.jsonl
score large 85.55 >>scores.jsonl
printf '{\n  "r": 16,\n  "text": { "size": [64, 32] }\n}\n' >conf.json
printf '{"update":1,"loss":6.5,"lr":0,"seconds":1800}\n{"update":2,"loss":1.25,"lr":0,"seconds":5400.0}\n{"update":3,"loss":1.25,"lr":0,"seconds":99999}\n' >log.jsonl
printf '%s\n' '# @model@ of @c.text.size.1@ & rank @c.r@, a@b.c' '@s.updates@ updates, @s.loss@, @s.hours:%.1f@ h' \
    '@verdict@' '@measures@' '@beside@' '@kg@ kg, @names.artist.score:%.0f@%' >in
t 'a page' 0 card scores.jsonl in c=conf.json s=log.jsonl kg=3
has 'numbers of the configuration' out '^# large of 32 & rank 16, a@b\.c$'
has 'of the log' out '^3 updates, 3, 4\.5 h$'
has 'of the arguments and scores' out '^3 kg, 30%$'
has 'what is asked' out '^| few | 8[56]\.[56] | \[80\.0, 92\.0\] | >= 90 | short |$'
has 'what was measured' out '^| few | 7 | 8[56]\.[56] \[80\.0, 92\.0\] | 0\.0 | 1\.[23] |  |$'
has 'models' out '^| of 2000 scenes a tier | small | large |$'
has 'beside each other' out '^| few | 91\.0 \[80\.0, 92\.0\] | 8[56]\.[56] \[80\.0, 92\.0\] |$'
t 'a number that is not known' 65 card scores.jsonl in c=conf.json s=log.jsonl
has 'is named' err 'nothing is known of kg'
t 'no template' 64 card scores.jsonl
# the templates that are there ask for what the recipes give
for m in llava llava-smollm2; do
    tr ' ' '\n' <"$TOP/scripts/train/$m.mk" | sed -n 's/^\([a-z0-9.]*\)=\$.*/\1/p' >given
    grep -o '@[a-z][A-Za-z0-9_.-]*' "$TOP/scripts/train/$m/README.md.in" | sed 's/^@//' | sort -u |
        grep -v -e '^config\.' -e '^adapter\.' -e '\.updates$' -e '\.hours$' -e '\.loss$' -e '\.samples$' -e '\.score$' \
            -e '^scenes$' -e '^verdict$' -e '^measures$' -e '^beside$' | grep -vxF -f given
    [ $? = 1 ]
    ok "$m" $?
done
finish
