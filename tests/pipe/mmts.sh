#!/bin/sh
# mmts: the conformance vectors through mm-ls and through the second reader, which
# knows nothing of lib/.
. "$TOP/tests/pipe/lib.sh"
python=${PYTHON:-python3}
vectors=$TOP/formats/vectors

# Prints the vectors of folder $1 that mm-ls does not end with status $2.
wrong() {
    for f in "$vectors/$1"/*.mmt; do
        mm-ls "$f" >/dev/null 2>err
        got=$?
        [ "$got" = "$2" ] || echo "$f: status $got: $(cat err)"
    done
}

wrong good 0 >list
ok "mm-ls accepts what is good" "$(wc -l <list)"
sed 's/^/# /' list
wrong bad 65 >list
ok "mm-ls refuses what is bad" "$(wc -l <list)"
sed 's/^/# /' list
for f in "$vectors"/*/*.mmt; do
    test -s "${f%.mmt}.txt" || echo "$f"
done >list
ok "every vector has its text" "$(wc -l <list)"

if ! command -v "$python" >/dev/null; then
    skip "second reader" "python3 is not installed"
    finish
fi
t "the second reader has at most 80 lines" 0 sh -c "test \$(wc -l <'$TOP/formats/mmts.py') -le 80"
cp -r "$vectors" copy
t "make.py runs" 0 "$python" copy/make.py
t "and gives the vectors that are here, byte by byte" 0 diff -r -x __pycache__ copy "$vectors"
cat >all.py <<'END'
import glob, sys, zlib
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import mmts
for folder in "good", "bad":
    names = glob.glob("%s/vectors/%s/*.mmt" % (sys.argv[1], folder))
    assert len(names) > 40
    for name in names:
        try:
            for record in mmts.read(open(name, "rb")):
                pass
            verdict = "good"
        except (ValueError, zlib.error):
            verdict = "bad"
        if verdict != folder:
            print(name, "is", verdict)
END
t "the second reader runs over the vectors" 0 "$python" all.py "$TOP/formats"
cp out list
ok "and agrees with every one" "$(wc -l <list)"
sed 's/^/# /' list
"$python" "$TOP/formats/mmts.py" "$vectors/good/mixed.mmt" >list
ok "it lists a stream" $?

# the program of mmts(5), as printed
printf '1,2.5\n' >a.csv
mm-pack a.csv "$TOP/LICENSE" | mm-cut -a x-odd='a\b' >in.mmt
sed -n '/^import array/,/^\.Ed/p' "$TOP/man/mmts.5" | sed '/^\.Ed/d; s/\\e/\\/g' >double.py
t "the program of mmts(5) runs" 0 sh -c "mm-pack '$GOLDEN/weights/npy/files/f4.npy' | '$python' double.py >twice.mmt"
mm-pack "$GOLDEN/weights/npy/files/f4.npy" >once.mmt
t "what it writes is a stream" 0 mm-ls twice.mmt
t "and changed" 1 mm-diff once.mmt twice.mmt
has "by a factor of 2" out 'rel 1 '
"$python" double.py <in.mmt >same.mmt
cmp -s in.mmt same.mmt
ok "it passes on the rest, byte by byte" $?
finish
