#!/bin/sh
# mm-pack: every kind of file, names, kinds, standard input, refusals.
. "$TOP/tests/pipe/lib.sh"
W=$GOLDEN/weights

# list COMMAND...: mm-ls --json of what it writes, in out; its status
list() {
    "$@" >packed.mmt 2>err
    rc=$?
    mm-ls --json packed.mmt >out 2>/dev/null
    return $rc
}

printf 'hello\n' >t.txt
printf '{"a": [1, 2]}\n' >j.json
printf 'w,h\n1,2\n3,4\n' >c.csv
printf '1,0.5\r\n-2,3e2\r\n' >f.csv
list mm-pack t.txt j.json c.csv f.csv
same "text, JSON, tables" out '{"type":"text","bytes":6,"item":0,"kind":"text","name":"t","source":"t.txt","text":"hello\n"}
{"type":"json","bytes":14,"item":1,"name":"j","source":"j.json"}
{"type":"tensor","dtype":"i64","shape":[2,2],"bytes":32,"x-columns":"[\"w\",\"h\"]","item":2,"name":"c","source":"c.csv"}
{"type":"tensor","dtype":"f64","shape":[2,2],"bytes":32,"item":3,"name":"f","source":"f.csv"}'
list mm-pack "$GOLDEN/image/anyres/even.png"
has "a picture" out '"dtype":"u8","shape":\[67,101,3\],.*"width":"101","height":"67",.*"kind":"image","name":"even"'
list mm-pack -k tokens -n ids "$W/npy/files/i8.npy"
has "kind and name" out '"dtype":"i64","shape":\[2\],.*"kind":"tokens","name":"ids"'
list mm-pack "$W/npy/files/stored.npz"
has "an archive: a record each" out '"name":"fortran"'
list mm-pack "$W"/gguf-llama-q4_0/model/*.gguf
has "quantised tensors become f32" out '"dtype":"f32","shape":\[96,96\],"bytes":36864,.*"name":"blk.0.attn_q.weight"'
list mm-pack --raw "$W"/gguf-llama-q4_0/model/*.gguf
has "or stay bytes" out '"type":"bytes","bytes":5184,"content-type":"application/x-q4_0","x-dtype":"q4_0","x-shape":"\[96,96\]"'
list mm-pack "$GOLDEN/llama/gqa/model"
has "a model's directory" out '"name":"model.embed_tokens.weight"'

for f in bool c8 f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 scalar empty big_f8_fortran; do
    mm-pack "$W/npy/files/$f.npy" >one.mmt && mm-unpack -o "$f.npy" one.mmt &&
        mm-pack "$f.npy" | mm-diff - one.mmt >/dev/null
    ok "round trip of $f.npy" $?
done
mm-pack "$GOLDEN/image/anyres/even.png" >p.mmt && mm-unpack -o even.png p.mmt &&
    mm-pack even.png | mm-diff - p.mmt >/dev/null
ok "round trip of a picture" $?

list sh -c "mm-pack <'$GOLDEN/image/anyres/even.png'"
has "a picture from standard input" out '"dtype":"u8","shape":\[67,101,3\]'
list sh -c "mm-pack - <'$W/npy/files/f4.npy'"
has "an array from standard input" out '"dtype":"f32","shape":\[3,5\]'
list sh -c "mm-pack - t.txt <j.json"
has "JSON from standard input" out '"type":"json"'
list sh -c "echo plain words | mm-pack"
has "text from standard input" out '"type":"text","bytes":12'
head -c 100000 /dev/zero >zeros
list sh -c "tr '\0' 'a' <zeros | mm-pack --zlib 9"
ok "compressed" $?
test "$(wc -c <packed.mmt)" -lt 1000
ok "is small" $?
has "and reads as it was" out '"bytes":100000'

printf '1,2\n3\n' >bad.csv
t "a short line" 65 mm-pack bad.csv
same "is named" err "mm-pack: bad.csv: line 2 has 1 columns, the first has 2"
printf '1,2\n3,x\n' >bad.csv
t "a cell that is no number" 65 mm-pack bad.csv
same "is named" err "mm-pack: bad.csv: line 2, column 2: not a number"
printf '{"a":' >bad.json
t "bad JSON" 65 mm-pack bad.json
printf '\377' >bad.txt
t "a text that is no UTF-8" 65 mm-pack bad.txt
same "has the offset" err "mm-pack: bad.txt: offset 0: not UTF-8"
head -c 200 "$GOLDEN/image/anyres/even.png" >cut.png
t "a picture that ends early" 65 mm-pack cut.png
head -c 100 "$W/npy/files/f4.npy" >cut.npy
t "an array that ends early" 65 mm-pack cut.npy
mm-pack t.txt cut.npy >half.mmt 2>/dev/null
t "leaves no complete stream" 65 mm-ls half.mmt
t "no such file" 66 mm-pack nothing.npy
t "--name for many arrays" 64 mm-pack --name x "$W/npy/files/stored.npz"
t "--zlib 0" 64 mm-pack --zlib 0 t.txt
t "larger than --max-record" 65 mm-pack --max-record 3 t.txt
t "full disk" 74 sh -c "exec mm-pack t.txt >/dev/full"
t "closed standard output" 74 sh -c "exec mm-pack t.txt >&-"
finish
