# mm-encode: pictures, pixels and texts to features
. "$TOP/tests/pipe/lib.sh"
M=$GOLDEN/llava/v15_hf/model
P=$GOLDEN/llava/v15_hf
Z=$GOLDEN/clip/zero-shot

t "a picture" 0 mm-encode -m "$M" "$P/cat.png"
cp out cat.mmt
mm-ls cat.mmt >ls.out
has "is one features record" ls.out '\[25,36\].*kind=features'
t "the source is kept" 0 grep -a -q '^source: .*cat.png$' cat.mmt
t "the same from standard input" 0 sh -c "mm-encode -m '$M' <'$P/cat.png' | mm-unpack -o a.npy -"
mm-unpack -o b.npy cat.mmt
t "has the same features" 0 cmp a.npy b.npy
t "any number of threads" 0 sh -c "mm-encode -m '$M' -j 3 '$P/cat.png' | cmp - cat.mmt"

# items and batches
t "three files" 0 mm-encode -v -m "$M" -B 2 "$P/cat.png" "$P/cup.png" "$P/face.png"
cp out three.mmt
has "are two runs of the encoder" err '3 pictures, 2 runs'
mm-ls --json three.mmt >ls.out
t "are three items" 0 test "$(grep -c '"item": *"\{0,1\}[012]' ls.out)" = 3
t "-1 makes one item" 0 sh -c "mm-encode -m '$M' -1 '$P/cat.png' '$P/cup.png' >o && ! grep -a -q '^item: 1' o"
printf '%s\n' "$P/cat.png" "$P/cup.png" "$P/face.png" >list
t "--files-from" 0 sh -c "mm-encode -m '$M' --files-from list | cmp - three.mmt"
t "--files-from -0" 0 sh -c "tr '\n' '\0' <list | mm-encode -m '$M' -0 --files-from - | cmp - three.mmt"
t "text around pictures" 0 sh -c "mm-encode -m '$M' -1 -p 'A <image> B <image> C' '$P/cat.png' '$P/cup.png' |
    mm-ls | awk '{ print \$2 }' | tr '\n' ' ' >o; grep -q . o"
t "more markers than pictures" 65 mm-encode -m "$M" -p '<image> <image>' "$P/cat.png"
has "says so" err '2 <image> markers for 1 pictures'
t "fewer markers than pictures" 65 mm-encode -m "$M" -1 -p 'A <image>' "$P/cat.png" "$P/cup.png"
has "says so" err '1 <image> markers for 2 pictures'
mm-encode -m "$M" -p 'A\n<image>\tB' "$P/cat.png" | mm-ls >l
t "escapes in -p" 0 grep -F -q '"A\n"' l
t "one item goes in passes too" 0 mm-encode -v -m "$M" -1 -B 2 "$P/cat.png" "$P/cup.png" "$P/cat.png"
has "of the batch" err '3 pictures, 2 runs'

t "where the time went" 0 mm-encode -v -m "$M" "$P/cat.png" "$P/cup.png"
for k in open preprocess select; do
    has "$k" err "^mm-encode: time $k [0-9.]* ms$"
done
for k in embed qkv attention o mlp; do
    has "$k" err "^mm-encode: time $k [0-9.]* ms [0-9.]* GFLOP/s [0-9.]* GB/s$"
done

# pixels, and what is not ours
t "pixels records" 0 sh -c "mm-encode -m '$M' --exact --trace tr.mmt '$P/cat.png' >e.mmt &&
    mm-cut -w name=pixel_values tr.mmt | mm-cut -a kind=pixels | mm-encode -m '$M' --exact >f.mmt &&
    mm-unpack -o e.npz e.mmt && mm-unpack -o f.npz f.mmt"
printf 'hello' >hello.txt
mm-pack hello.txt >hello.mmt
t "other records pass" 0 sh -c "mm-encode -m '$M' hello.mmt | cmp - hello.mmt"

# streams: passes of the batch across records, faults by item
mm-encode -m "$M" --exact --trace tr.mmt -1 "$P/cat.png" "$P/cup.png" "$P/face.png" >e.mmt
mm-cut -w name=pixel_values -a kind=pixels tr.mmt >px.mmt
cat px.mmt hello.mmt px.mmt >mixed.mmt
t "records of many views" 0 mm-encode -v -m "$M" --exact -B 4 mixed.mmt
has "go in passes of the batch" err '6 pictures, 2 runs'
cp out four.mmt
t "with the same features in any batch" 0 sh -c "mm-encode -m '$M' --exact -B 5 mixed.mmt | cmp - four.mmt"
mm-cut -a item=1 four.mmt | mm-cut -k features -a kind=pixels >wrong.mmt
(cat px.mmt wrong.mmt; mm-cut -a item=2 px.mmt) >faulty.mmt
t "a bad item in a stream" 65 mm-encode -m "$M" faulty.mmt
has "is named" err 'faulty.mmt: item 1: pixels record: f32 \[3,25,36\], want numbers'
mm-ls out >l 2>&1
has "those before it are written" l 'features'
t "--keep-going with a stream" 65 mm-encode -m "$M" --keep-going faulty.mmt
cp out going.mmt
t "loses only the bad item" 0 sh -c 'mm-ls going.mmt >l && grep -c kind=features l | grep -qx 2 && grep -q "^1 .*kind=error" l'
t "-1 joins the records of streams" 0 sh -c "mm-cut -a item=7 px.mmt | mm-encode -m '$M' -1 - px.mmt |
    mm-ls | cut -c1 | sort -u | grep -qx 0"
head -c 30000 faulty.mmt >cut.mmt
t "a truncated stream, whatever goes on" 65 mm-encode -m "$M" --keep-going "$P/cat.png" cut.mmt "$P/cup.png"
t "gets no end" 0 sh -c '! tail -c 64 out | grep -a -q "^mmts 1 end"'
t "-p is for pictures" 65 mm-encode -m "$M" -p x px.mmt
mm-cut -a item=9223372036854775807 hello.mmt >last.mmt
t "the last item of all" 0 sh -c "mm-encode -m '$M' last.mmt | cmp - last.mmt"
t "a directory is no input" 66 mm-encode -m "$M" .
t "every failure goes on" 65 mm-encode -m "$M" --keep-going . no.png /dev/null hello.txt "$P/cat.png"
cp out going.mmt
t "with its own error record" 0 sh -c 'mm-ls going.mmt >l && grep -c kind=error l | grep -qx 4 && grep -q "^4 .*features" l'
mkfifo fifo
t "operands of every kind, read ahead" 65 sh -c "cat '$P/cup.png' >fifo &
    mm-encode -m '$M' -j 2 -B 2 --keep-going '$P/cat.png' px.mmt no.png '$P/cup.png' hello.txt - fifo '$P/face.png' <'$P/cat.png'"
cp out ahead.mmt
t "are what they are one by one" 65 sh -c "cat '$P/cup.png' >fifo &
    mm-encode -m '$M' -j 1 -B 2 --keep-going '$P/cat.png' px.mmt no.png '$P/cup.png' hello.txt - fifo '$P/face.png' <'$P/cat.png'"
same_file=$(cmp out ahead.mmt && echo same)
t "to the byte" 0 test "$same_file" = same
t "no trace on standard output" 64 mm-encode -m "$M" --trace - "$P/cat.png"
t "a model without a name" 66 mm-encode -m '' "$P/cat.png"

mm-cut -w name=pixel_values tr.mmt | mm-cut -a kind=pixels -a item=0 >zero.mmt
t "items of several sections stay apart" 0 sh -c "cat zero.mmt zero.mmt |
    mm-encode -m '$M' '$P/cup.png' - | mm-ls | cut -c1 | paste -s -d ' ' -"
same "numbered on" out '0 1 2'

# texts and shared space
t "texts" 0 sh -c "mm-encode -m '$Z/model' --text 'a photo of a cat' 'a cup of coffee on the table' >t.mmt && mm-ls t.mmt"
t "are two" 0 test "$(wc -l <out)" = 2
t "texts from lines" 0 sh -c "printf 'a photo of a cat\na cup of coffee on the table\n' | mm-encode -m '$Z/model' --text |
    mm-unpack -o l.npz - && test -s l.npz"
printf 'a\n\377\nc\n' >bad.txt
t "a bad line" 65 sh -c "mm-encode -m '$Z/model' --text --keep-going <bad.txt"
has "is counted" err 'standard input: line 2: text is not UTF-8'
cp out lines.mmt
t "the others are encoded" 0 sh -c 'mm-ls lines.mmt | grep -c kind=features | grep -qx 2'
t "pooled pictures" 0 sh -c "mm-encode -m '$Z/model' --pool '$Z/cat.png' | mm-ls | grep -q '\[40\]'"

# faults
t "no such model" 66 mm-encode -m nowhere "$P/cat.png"
t "contradiction" 64 mm-encode -m "$M" --text --pool x
t "bad number" 64 mm-encode -m "$M" -B zero x
t "bad word" 64 mm-encode -m "$M" --aspect wide x
has "lists the words" err 'crop'
t "no such model" 66 mm-encode -m no/such/model "$P/cat.png"
t "no such file" 66 mm-encode -m "$M" no-such.png
has "names it" err 'mm-encode: no-such.png: No such file'
t "no picture" 65 mm-encode -m "$M" "$P/case.json"
has "names it" err 'case.json'
head -c 900 "$P/cat.png" >cut.png
t "truncated picture" 65 mm-encode -m "$M" cut.png
head -c 2000 cat.mmt >cut.mmt
t "truncated stream" 65 mm-encode -m "$M" cut.mmt
t "empty input" 65 sh -c "mm-encode -m '$M' </dev/null"
t "items before the bad one are written" 65 mm-encode -m "$M" "$P/cat.png" cut.png
cp out part.mmt
t "but no end" 0 sh -c '! tail -c 200 part.mmt | grep -a -q "^mmts 1 end"'
t "--keep-going" 65 mm-encode -m "$M" --keep-going "$P/cat.png" cut.png "$P/cup.png"
cp out going.mmt
t "gives two features and an error" 0 sh -c 'mm-ls going.mmt >l && test "$(wc -l <l)" = 3 && grep -q error l'
t "layer out of range" 65 mm-encode -m "$M" --layer 9 "$P/cat.png"
t "a language model has no tower" 69 mm-encode -m "$GOLDEN/llama/mha/model" "$P/cat.png"
t "full disk" 74 sh -c "mm-encode -m '$M' '$P/cat.png' >/dev/full"
t "closed output" 74 sh -c "mm-encode -m '$M' '$P/cat.png' >&-"
t "a failed run leaves no trace file" 65 mm-encode -m "$M" --trace never.mmt cut.png
not_there "none" never.mmt
t "a reader that left" 0 sh -c "(mm-encode -m '$M' '$P/cat.png' '$P/cat.png'; echo \$? >st) | head -c 1 >/dev/null; cat st"
finish
