#!/bin/sh
# mm-unpack: every format, duplicate names, shapes, atomic output.
. "$TOP/tests/pipe/lib.sh"
W=$GOLDEN/weights

printf '1,2\n3,4\n' >a.csv
printf 'x,"y ""q"""\n1.5,-2\n' >b.csv
printf 'one' >one.txt
printf 'two\n' >two.txt
printf '{"a":1}' >j.json
mm-pack a.csv b.csv one.txt two.txt j.json >all.mmt

t "npz" 0 mm-unpack -o out.npz all.mmt
same "what it cannot hold is told" err "mm-unpack: out.npz: 3 records of another type are left out"
t "holds the tensors" 0 mm-diff --all all.mmt out.npz
t "safetensors" 0 mm-unpack -q -o out.safetensors all.mmt
t "holds the tensors" 0 mm-diff --all all.mmt out.safetensors
mm-cut -w name=b all.mmt >b.mmt
t "npy" 0 mm-unpack -o b.npy b.mmt
t "holds the tensor" 0 mm-diff b.mmt b.npy
t "csv" 0 mm-unpack -o - --format csv b.mmt
same "with its header" out '"x","y ""q"""
1.5,-2'
t "txt" 0 mm-unpack -q -o out.txt all.mmt
same "texts one after another" out.txt "one
two"
t "one text" 0 sh -c "mm-pack one.txt | mm-unpack -o one.out --format txt"
cmp -s one.out one.txt; ok "byte by byte" $?
t "json" 0 mm-unpack -q -o out.json all.mmt
cmp -s out.json j.json; ok "byte by byte" $?
mm-pack j.json j.json >two.mmt
t "several" 0 mm-unpack -o - --format json two.mmt
same "are an array" out '[
{"a":1},
{"a":1}
]'
t "a directory" 0 mm-unpack -o dir/ all.mmt
ls dir >list
same "holds a file each" list "a.npy
b.npy
j.json
one.txt
two.txt"
cmp -s dir/two.txt two.txt; ok "with its bytes" $?
mm-pack "$GOLDEN/image/anyres/even.png" | mm-cut -n ../.././.x >evil.mmt
t "a hostile name" 0 mm-unpack -o dir evil.mmt
test -e dir/_._.._._.x.png; ok "stays in the directory" $?
mm-cut -i 0 -n a.b all.mmt | mm-cut -a rate=8000 >s.mmt
t "wav" 0 mm-unpack -o s.wav s.mmt
t "holds the samples" 0 sh -c "mm-pack s.wav | mm-cut -n a.b | mm-diff -r 0 s.mmt -"
t "wav needs a rate" 65 mm-unpack -o s2.wav b.mmt
t "bf16 becomes f32 in npz" 0 sh -c "mm-pack '$W'/gguf-llama-bf16/model/*.gguf | mm-unpack -o bf.npz -"
t "with the same values" 0 sh -c "mm-ls '$W'/gguf-llama-bf16/model/*.gguf | grep -q ' bf16 ' &&
    mm-diff '$W'/gguf-llama-bf16/model/*.gguf bf.npz"

cat all.mmt all.mmt >twice.mmt
for f in x.npz x.safetensors x/; do
    t "a name twice in $f" 65 mm-unpack -o $f twice.mmt
    not_there "leaves nothing" $f
done
has "is named" err "two records have this name"
t "npy holds one tensor" 65 mm-unpack -o x.npy all.mmt
same "says how many there are" err "mm-unpack: x.npy: holds one tensor, the input has 2"
t "a picture of another shape" 65 mm-unpack -o x.png b.mmt
has "names both" err "f64 \[1,2\], want u8 \[height,width,1..4\]"
t "no text" 65 mm-unpack -o x.txt b.mmt
head -c 300 all.mmt >half.mmt
for f in x.npz x.txt x/; do
    t "a truncated stream for $f" 65 mm-unpack -o $f half.mmt
    not_there "leaves nothing" $f
done
ls >list
t "no temporary is left" 1 grep 'x\.' list
t "no output" 64 mm-unpack all.mmt
t "no format" 64 mm-unpack -o x.dat all.mmt
t "no such input" 66 mm-unpack -o x.npz nothing.mmt
t "no such directory" 74 mm-unpack -o no/such/x.npz all.mmt
t "full disk" 74 mm-unpack -q -o /dev/full --format npz all.mmt
has "says so" err '/dev/full: No space left on device'
t "no suffix" 0 mm-unpack -q -o folder all.mmt
t "is a directory" 0 test -d folder
ln -s real.npz link.npz
t "a link to nothing" 0 mm-unpack -q -o link.npz all.mmt
t "stays a link" 0 test -L link.npz -a -f real.npz
printf 'old' >old.npz
t "a failure" 65 mm-unpack -o old.npz half.mmt
test "$(cat old.npz)" = old; ok "leaves the old file" $?
finish
