# mm-project: features to embeds
. "$TOP/tests/pipe/lib.sh"
M=$GOLDEN/llava/v15_hf/model
P=$GOLDEN/llava/v15_hf
N=$GOLDEN/llava/v16_orig

mm-encode -m "$M" "$P/cat.png" "$P/cup.png" >f.mmt
t "features become embeds" 0 sh -c "mm-project -m '$M' <f.mmt >e.mmt && mm-ls e.mmt"
has "of the model's width" out '\[25,60\].*kind=embeds'
t "from an operand" 0 sh -c "mm-project -m '$M' f.mmt | cmp - e.mmt"
t "attributes are kept" 0 grep -a -q '^source: .*cup.png' e.mmt
t "where the time went" 0 mm-project -v -m "$M" f.mmt
has "opening" err '^mm-project: time open [0-9.]* ms$'
has "projecting" err '^mm-project: time project [0-9.]* ms [0-9.]* GFLOP/s [0-9.]* GB/s$'
t "any number of threads" 0 sh -c "mm-project -m '$M' -j 3 f.mmt | cmp - e.mmt"
mm-encode -m "$N/model" "$N/owide.png" >w.mmt
t "anyres is packed" 0 sh -c "mm-project -m '$N/model' w.mmt >p.mmt && mm-ls p.mmt"
cp out packed
for how in flat spatial spatial_unpad; do
    mm-project -m "$N/model" --merge $how w.mmt | mm-ls >"$how"
done
t "in three ways" 0 sh -c '! cmp -s flat spatial_unpad && ! cmp -s spatial spatial_unpad && cmp -s packed spatial_unpad'
printf 'hello' >hello.txt
mm-pack hello.txt >hello.mmt
t "other records pass" 0 sh -c "mm-project -m '$M' hello.mmt | cmp - hello.mmt"

mm-encode -m "$M" "$P/cup.png" >g.mmt
t "items of two streams stay two" 0 sh -c "cat f.mmt g.mmt | mm-project -m '$M' | mm-ls --json | grep -c '\"item\": *[012]'"
same "numbered on" out 3
t "and are two answers" 0 sh -c "mm-project -m '$M' g.mmt >g1.mmt; cat g1.mmt g1.mmt |
    mm-llm -m '$M' -n 2 -p '<image>' --json | wc -l"
same "for mm-llm" out 2

t "no such model" 66 mm-project -m nowhere f.mmt
t "bad merge" 64 mm-project -m "$M" --merge round f.mmt
has "lists the words" err 'spatial_unpad'
t "no such file" 66 mm-project -m "$M" no.mmt
t "no projector" 69 mm-project -m "$GOLDEN/llama/mha/model" f.mmt
t "features of another model" 65 mm-project -m "$N/model" f.mmt
has "gives both shapes" err 'item 0: features record: f32 \[25,36\], want numbers \[P,32\]'
head -c 1500 f.mmt >cut.mmt
t "truncated stream" 65 mm-project -m "$M" cut.mmt
t "empty stream" 65 sh -c "mm-project -m '$M' </dev/null"
t "a killed producer" 65 sh -c "sh -c 'head -c 3000 f.mmt; kill -9 \$\$' | mm-project -m '$M' >o"
mm-encode -m "$N/model" "$N/owide.png" | sed 's/^grid: .*x/grid: 7x/' >bad.mmt
t "a grid that does not fit" 65 mm-project -m "$N/model" bad.mmt
(mm-cut -i 0 f.mmt; mm-cut -i 0 -a item=1 w.mmt; mm-cut -i 1 -a item=2 f.mmt) >faulty.mmt
t "a bad item" 65 mm-project -m "$M" faulty.mmt
has "is named" err 'faulty.mmt: item 1: features record'
t "--keep-going" 65 mm-project -m "$M" --keep-going faulty.mmt
cp out going.mmt
t "loses only that" 0 sh -c 'mm-ls going.mmt >l && grep -c kind=embeds l | grep -qx 2 && grep -q "^1 .*kind=error source=.*owide.png" l'
(cat bad.mmt; mm-cut -a item=1 w.mmt) >grids.mmt
t "a bad grid is an item's fault too" 65 mm-project -m "$N/model" --keep-going grids.mmt
cp out going.mmt
t "and the next goes on" 0 sh -c 'mm-ls going.mmt >l && grep -q "^0 .*kind=error" l && grep -q "^1 .*kind=embeds" l'
t "error records pass" 0 sh -c "mm-project -m '$N/model' going.mmt | cmp - going.mmt"
t "a broken stream ends it" 65 mm-project -m "$M" --keep-going cut.mmt
t "without an end" 0 sh -c '! tail -c 64 out | grep -a -q "^mmts 1 end"'
t "full disk" 74 sh -c "mm-project -m '$M' f.mmt >/dev/full"
t "closed output" 74 sh -c "mm-project -m '$M' f.mmt >&-"
t "too large a record" 65 mm-project -m "$M" --max-record 1K f.mmt
finish
