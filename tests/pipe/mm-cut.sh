#!/bin/sh
# mm-cut: selection by kind, item and attribute; renaming; refusals.
. "$TOP/tests/pipe/lib.sh"

for i in 0 1 2 3; do
    printf 'text %s' $i >$i.txt
done
printf '1,2\n' >table.csv
mm-pack 0.txt 1.txt 2.txt 3.txt table.csv >all.mmt

# names of the records that mm-cut passes
names() {
    mm-cut "$@" >cut.mmt 2>err && mm-ls --json cut.mmt | sed 's/.*"name":"\([^"]*\)".*/\1/' |
        tr '\n' ' ' >out
    echo >>out
}

names all.mmt; same "no selection passes all" out "0 1 2 3 table "
cmp -s all.mmt cut.mmt; ok "and changes no byte" $?
names -k text all.mmt; same "by kind" out "0 1 2 3 "
names -k text -k table all.mmt; same "kinds are alternatives" out "0 1 2 3 "
names -i 1,3- all.mmt; same "by item" out "1 3 table "
names -i 0-1 -i 4 all.mmt; same "lists of items add up" out "0 1 table "
names -w 'name=[12]' all.mmt; same "by pattern" out "1 2 "
names -w 'name=[12]' -w source=2.txt all.mmt; same "patterns are joined" out "2 "
names -k text -i 2 - <all.mmt; same "standard input" out "2 "
names -k none all.mmt
same "nothing selected is an empty section" out ""
t "that is a stream" 0 mm-ls cut.mmt

names -i 4 -n new all.mmt; same "a new name" out "new "
t "attributes" 0 sh -c "mm-cut -i 4 -a kind=features -a x-a='a b=c' -a source -a item=9 all.mmt | mm-ls --json"
same "are set and removed" out '{"type":"tensor","dtype":"i64","shape":[1,2],"bytes":16,"item":9,"name":"table","kind":"features","x-a":"a b=c"}'
t "two streams" 0 sh -c "cat all.mmt all.mmt | mm-cut -i 0 - all.mmt | mm-ls"
ok "become one section" "$(($(wc -l <out) - 3))"

head -c 300 all.mmt >half.mmt
t "a truncated input" 65 mm-cut half.mmt
mm-cut half.mmt >cut.mmt 2>/dev/null
t "never makes a complete output" 65 mm-ls cut.mmt
for bad in '-i x' '-i 3-1' '-i 1,' '-a dtype=f32' '-a Bad=1' '-a item=x' '-w name' '-a =x'; do
    # shellcheck disable=SC2086
    t "refused: $bad" 64 mm-cut $bad all.mmt
done
t "no such file" 66 mm-cut nothing.mmt
t "a second operand that is missing" 66 sh -c "mm-cut all.mmt nothing.mmt >cut.mmt"
t "leaves no complete stream" 65 mm-ls cut.mmt
t "full disk" 74 sh -c "exec mm-cut all.mmt >/dev/full"
t "a reader that left ends it in silence" 0 sh -c "(for i in 1 2 3 4 5 6 7 8 9; do cat all.mmt; done) |
    { mm-cut; echo \$? >&2; } 2>status | head -c 1 >/dev/null; ! grep -q mm-cut status"
finish
