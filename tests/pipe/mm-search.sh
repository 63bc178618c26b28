#!/bin/sh
# mm-search: ranks, ties, rows, thresholds, refusals.
. "$TOP/tests/pipe/lib.sh"

# npy NAME SHAPE NUMBERS...: f32; the numbers are words of the table below
npy() {
    file=$1
    shape=$2
    shift 2
    {
        printf '\223NUMPY\1\0\166\0%-117s\n' \
            "{'descr': '<f4', 'fortran_order': False, 'shape': ($shape), }"
        for v; do
            case $v in
            0) printf '\0\0\0\0' ;;
            1) printf '\0\0\200\77' ;;
            -1) printf '\0\0\200\277' ;;
            2) printf '\0\0\0\100' ;;
            3) printf '\0\0\100\100' ;;
            nan) printf '\0\0\300\177' ;;
            esac
        done
    } >"$file.npy"
}

# names as they come from mm-pack, without folder and suffix
short() {
    sed 's,[^	"]*/,,g; s,\.npy,,g' "$1" >short
}

npy right 3, 1 0 0
npy up 3, 0 2 0
npy slope 3, 3 3 0
npy again 3, 2 2 0
npy left 3, -1 0 0
npy zero 3, 0 0 0
npy two '2, 3' 0 1 0 1 0 0
npy flat 2, 1 0
npy bad 3, nan 0 0
for f in right up slope again left zero two flat bad; do
    mm-pack --kind features $f.npy >$f.mmt || exit 1
done
cat right.mmt up.mmt slope.mmt again.mmt left.mmt zero.mmt >index.mmt

t 'ranks by cosine, ties in the order of the index' 0 mm-search -k 4 index.mmt right.mmt
short out
same 'four columns' short 'right	1	1.000000	right
right	2	0.707107	slope
right	3	0.707107	again
right	4	0.000000	up'
t 'a larger -k gives all' 0 mm-search -k 1000 index.mmt right.mmt
short out
same 'six lines, the opposite last' short 'right	1	1.000000	right
right	2	0.707107	slope
right	3	0.707107	again
right	4	0.000000	up
right	5	0.000000	zero
right	6	-1.000000	left'
mm-search -k 4 index.mmt - <right.mmt >stdin.out
mm-search -k 4 index.mmt <right.mmt | cmp -s - stdin.out
ok 'the query may come from standard input' $?
t 'a threshold' 0 mm-search --threshold 0.5 index.mmt up.mmt
short out
same 'is inclusive of what reaches it' short 'up	1	1.000000	up
up	2	0.707107	slope
up	3	0.707107	again'
t 'nothing reaches it' 0 mm-search --threshold 1 left.mmt right.mmt
ok 'no line' "$(wc -c <out)"
t 'rows of a record count by themselves' 0 mm-search -k 1 two.mmt up.mmt right.mmt
short out
same 'and are numbered' short 'up	1	1.000000	two#0
right	1	1.000000	two#1'
t 'every row of a query' 0 mm-search -k 1 index.mmt two.mmt
short out
same 'is a query' short 'two#0	1	1.000000	up
two#1	1	1.000000	right'
t 'JSON' 0 mm-search --json -k 1 two.mmt up.mmt
has 'has query, rank, score and row' out '^{"query":{"source":".*"[^}]*},"results":\[{"rank":1,"score":1,"source":".*"row":0}\]}$'
for j in 1 2 7; do
    mm-search -j $j -k 5 index.mmt index.mmt
done | awk '{ n[$0]++ } END { for (l in n) if (n[l] != 3) exit 1 }'
ok 'the same for any number of threads' $?

t 'no operand' 64 mm-search
t 'the index cannot be standard input' 64 mm-search - right.mmt
t '-k 0' 64 mm-search -k 0 index.mmt right.mmt
t 'a threshold above 1' 64 mm-search --threshold 2 index.mmt right.mmt
t 'other lengths' 65 mm-search index.mmt flat.mmt
has 'names both' err 'index.mmt: features of 3 numbers, the queries have 2$'
t 'not finite' 65 mm-search index.mmt bad.mmt
has 'says so' err 'bad.mmt: features of .* are not finite$'
mm-pack --kind tokens right.npy >tokens.mmt
t 'no features in the query' 65 mm-search index.mmt tokens.mmt
t 'no features in the index' 65 mm-search tokens.mmt right.mmt
t 'no such index' 66 mm-search nothing.mmt right.mmt
head -c 100 index.mmt >cut.mmt
t 'a truncated index' 65 mm-search cut.mmt right.mmt
ok 'prints nothing' "$(wc -c <out)"
: >empty.mmt
t 'an empty query' 65 mm-search index.mmt empty.mmt
(exec >&-; mm-search index.mmt right.mmt 2>err)
[ $? = 74 ]
ok 'closed standard output' $?
if [ -c /dev/full ]; then
    mm-search index.mmt right.mmt >/dev/full 2>err
    [ $? = 74 ]
    ok 'full disk' $?
fi
finish
