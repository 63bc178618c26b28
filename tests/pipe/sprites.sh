#!/bin/sh
# sprites: the folder of things, of packages that are made here.
. "$TOP/tests/pipe/lib.sh"
font=usr/share/fonts/truetype/noto/NotoColorEmoji.ttf
names=usr/share/unicode/emoji/emoji-test.txt
stamps=usr/share/tuxpaint/stamps
sprites=$TOP/scripts/sprites

if [ -e /$font ] || [ -e /$names ] || [ -e /$stamps ]; then
    skip "sprites" "its packages are installed"
    finish
fi

# what a package holds is in packages/PACKAGE; a font that is a list of characters
mkdir bin
cat >bin/apt-get <<'END'
#!/bin/sh
[ "$1 $2" = 'download -q' ] && [ -d "$PACKAGES/$3" ] && : >"$3_1_all.deb"
END
cat >bin/dpkg <<'END'
#!/bin/sh
p=${2##*/}
[ "$1" = -x ] && cp -r "$PACKAGES/${p%%_*}" "$3"
END
cat >bin/mm-glyph <<'END'
#!/bin/sh
[ "$1 $2" = '-q --keep-going' ] || exit 64
font=$3
shift 3
status=0
for c; do
    if grep -q "^${c#U+}$" "$font"; then mm-pack -k image -n "${c#U+}" "$PACKAGES/a.png"; else status=65; fi
done
exit $status
END
chmod +x bin/*
PACKAGES=$PWD/packages
export PACKAGES PATH="$PWD/bin:$PATH"
for f in fonts-noto-color-emoji/$font unicode-data/$names tuxpaint-stamps-default/$stamps/animals/dogs/x \
    tuxpaint-stamps-default/$stamps/symbols/x tuxpaint-stamps-default/$stamps/vehicles/x; do
    mkdir -p "packages/${f%/*}"
done
printf '1F436\n1F98A\n1F52A\n1F4B0\n' >packages/fonts-noto-color-emoji/$font
cat >packages/unicode-data/$names <<'END'
# subgroup: animal-mammal
1F436                                                  ; fully-qualified     # x E0.6 dog face
1F98A                                                  ; fully-qualified     # x E3.0 fox
1F981                                                  ; fully-qualified     # x E1.0 lion
1F408 200D 2B1B                                        ; fully-qualified     # x E13.0 black cat
# subgroup: household
1F52A FE0F                                             ; fully-qualified     # x E0.6 butter knife
# subgroup: money
1F4B0                                                  ; fully-qualified     # x E0.6 money bag
# subgroup: face-smiling
1F600                                                  ; fully-qualified     # x E1.0 face
END
cat >make.py <<'P'
import numpy as np, wave
x = np.zeros((40, 40, 4), 'u1')
x[4:36, 4:36] = 200, 30, 30, 255
np.save('a.npy', x)
np.save('b.npy', x[:, :, :3])
for name, loud in (('loud', 8000), ('still', 0)):
    w = wave.open(name + '.wav', 'wb')
    w.setnchannels(1); w.setsampwidth(2); w.setframerate(16000)
    w.writeframes((loud * np.sin(np.arange(8000))).astype('<i2').tobytes())
    w.close()
P
"$PYTHON" make.py
mm-pack -k image a.npy | mm-unpack -o packages/a.png
mm-pack -k image b.npy | mm-unpack -o flat.png
# stamp NAME TEXT [SOUND]
stamp() {
    cp packages/a.png "packages/tuxpaint-stamps-default/$stamps/$1.png"
    printf '%s\nde.utf8=Bild\n' "$2" >"packages/tuxpaint-stamps-default/$stamps/$1.txt"
    [ $# = 2 ] || cp "$3" "packages/tuxpaint-stamps-default/$stamps/$1.ogg"
}
stamp animals/dogs/pug 'A small dog.' loud.wav
stamp animals/dogs/poodle 'A poodle.' still.wav
stamp vehicles/bus 'A red bus.'
stamp vehicles/many 'Two cars.'
stamp vehicles/far 'A car that is far away.'
stamp symbols/cross 'A cross.'
stamp vehicles/flat 'A tram.'
cp flat.png packages/tuxpaint-stamps-default/$stamps/vehicles/flat.png

t "sprites" 0 sh "$sprites" "things of all kinds"
same "says how many" out "sprites: 6 pictures of 5 nouns"
printf '%s\t%s\t%s\t%s\n' noto/1F436.png dog dogs noto noto/1F98A.png fox foxes noto \
    noto/1F52A.png 'butter knife' 'butter knives' noto >want
printf '%s\t%s\t%s\ttuxpaint\t%s\n' tuxpaint/animals-dogs-poodle.png poodle poodles '' \
    tuxpaint/animals-dogs-pug.png dog dogs tuxpaint/animals-dogs-pug.ogg tuxpaint/vehicles-bus.png 'red bus' 'red buses' '' >>want
tail -n +2 "things of all kinds/sprites.tsv" | cmp -s - want
ok "are those of which picture and name are known" $?
t "again" 0 sh "$sprites" "things of all kinds"
t "mm-synth takes them" 0 mm-synth -n 20 --tier things,cries --sprites "things of all kinds" --hold-artist tuxpaint -o s.mmt
echo no sound >packages/tuxpaint-stamps-default/$stamps/animals/dogs/poodle.ogg
t "a sound that cannot be read" 65 sh "$sprites" broken
has "is named" err 'poodle.ogg'
not_there "leaves no table" broken/sprites.tsv
rm -r packages/unicode-data
t "a package that cannot be had" 69 sh "$sprites" none
has "is named, too" err '^sprites: unicode-data cannot be had$'
t "no folder" 64 sh "$sprites"
finish
