#!/bin/sh
# mm-diff: tolerances, shapes, NaN, integers, maps, missing tensors, status.
. "$TOP/tests/pipe/lib.sh"

# array NAME CELLS: a CSV table packed under its name
array() {
    printf '%b' "$2" >"$1.csv"
    mm-pack "$1.csv"
}

# tensors as sections of one stream
{ array x '1.5,2\n3,4\n'; array n '1,2,3\n'; array z '0.0\n0.0\n'; } >a.mmt

t "equal" 0 mm-diff a.mmt a.mmt
same "three lines" out 'ok   x                            [2,2]            rel 0           max 0          
ok   n                            [1,3]            rel 0           max 0          
ok   z                            [2,1]            rel 0           max 0          '
{ array x '1.5,2\n3,4.5\n'; array n '1,2,3\n'; array z '0.0\n0.0\n'; } >b.mmt
t "different" 1 mm-diff a.mmt b.mmt
has "the place of the worst element" out '^FAIL x .* rel 0.08944 *max 0.5 *at \[1,1\] differs'
t "within the tolerance" 0 mm-diff -r 0.1 a.mmt b.mmt
t "quiet" 1 mm-diff -q a.mmt b.mmt
ok "prints nothing" "$(wc -c <out)"
t "JSON" 1 mm-diff --json a.mmt b.mmt
has "an object" out '{"name":"x","item":0,"dtype":"f64","shape":\[2,2\],"rel":0.0894.*,"max_abs":0.5,"at":\[1,1\],"ok":false,"why":"differs"}'

{ array x '1.5,2\n3,4\n'; array n '1,2,4\n'; array z '0.0\n0.0\n'; } >b.mmt
t "integers differ whatever the tolerance" 1 mm-diff -r 10 a.mmt b.mmt
{ array x '1.5,2\n3,4\n'; array n '1,2,3\n'; array z '0.001\n0.0\n'; } >b.mmt
t "a zero reference is compared absolutely" 1 mm-diff -r 1e-4 a.mmt b.mmt
t "and passes so" 0 mm-diff -r 1e-2 a.mmt b.mmt
{ array x 'nan,2\n3,4\n'; array n '1,2,3\n'; array z '0.0\n0.0\n'; } >b.mmt
t "NaN on one side" 1 mm-diff -r 1e9 a.mmt b.mmt
has "is said" out 'FAIL x .*NaN on one side'
t "NaN on both" 0 mm-diff b.mmt b.mmt

{ array x '1.5,2,3,4\n'; array n '1\n2\n3\n'; array z '0.0,0.0\n'; } >b.mmt
t "another shape" 1 mm-diff a.mmt b.mmt
has "names both" out '^FAIL x  *\[2,2\]  *other shape \[1,4\]'
has "axes of length 1 do not count" out '^ok   n  *\[1,3\]'

array x '1.5,2\n3,4\n' >b.mmt
t "missing in B" 1 mm-diff a.mmt b.mmt
has "is said" out '^FAIL n .*missing in B'
t "only in B" 0 mm-diff b.mmt a.mmt
has "is listed" out '^-    n  *only in B'
t "only in B counts with --all" 1 mm-diff --all b.mmt a.mmt
t "only some" 0 mm-diff --only 'x*' a.mmt b.mmt
array y '1\n' >c.mmt
t "nothing in common" 1 mm-diff c.mmt b.mmt
has "is said" err 'no tensor in common'

mm-cut -n one.x b.mmt >c.mmt
t "a prefix" 0 mm-diff --prefix one. c.mmt b.mmt
t "that no tensor has" 1 mm-diff --prefix two. c.mmt b.mmt
for i in 0 1 2; do
    printf '%s.5\n' $i >h.$i.csv
    mm-pack h.$i.csv | mm-cut -n hidden.$i -a item=0
done >c.mmt
for i in 0 1; do
    mm-pack h.$((i + 1)).csv | mm-cut -n layers.$i -a item=0
done >d.mmt
mm-pack h.0.csv | mm-cut -n pre -a item=0 >>d.mmt
printf 'hidden.0 pre\n\nhidden.# layers.#-1\n' >map
t "a map of names" 0 mm-diff --map map c.mmt d.mmt
has "with numbers" out '^ok   layers.1 '
echo 'one two three' >badmap
t "a map that is none" 65 mm-diff --map badmap c.mmt d.mmt
same "names the line" err "mm-diff: badmap: line 1 is not 'from to'"

for i in 0 1; do
    mm-pack h.$i.csv | mm-cut -n f -a item=$i
done >items.mmt
t "items of one name" 0 mm-diff items.mmt items.mmt
mm-cut -i 1 -a item items.mmt >one.mmt
t "which of them?" 65 mm-diff one.mmt items.mmt
has "is asked" err "'f' is there 2 times: choose an item with -i"
mm-cut -i 1 items.mmt >one.mmt
t "that of the same item" 0 mm-diff one.mmt items.mmt
t "one item of both" 0 mm-diff -i 1 items.mmt one.mmt

clip=$GOLDEN/clip/vision-quick
t "a checkpoint" 0 mm-diff "$clip/expected.safetensors" "$clip/expected.safetensors"
mm-pack "$clip/expected.safetensors" | mm-unpack -o c.npz
t "another container" 0 mm-diff "$clip/expected.safetensors" c.npz
t "standard input" 0 sh -c "mm-pack c.npz | mm-diff '$clip/expected.safetensors' -"
t "other weights" 1 mm-diff -r 1e-4 "$clip/expected.safetensors" \
    "$GOLDEN/clip/laion-hf/expected.safetensors"

head -c 200 a.mmt >half.mmt
t "a truncated stream is no difference" 65 mm-diff half.mmt a.mmt
t "on either side" 65 mm-diff a.mmt half.mmt
t "no such file" 66 mm-diff a.mmt nothing
t "one operand" 64 mm-diff a.mmt
t "standard input twice" 64 mm-diff - -
t "a tolerance that is none" 64 mm-diff -r x a.mmt a.mmt
t "full disk" 74 sh -c "exec mm-diff a.mmt a.mmt >/dev/full"
finish
