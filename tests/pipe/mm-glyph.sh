#!/bin/sh
# mm-glyph: pictures of a colour font where one is installed, refusals.
. "$TOP/tests/pipe/lib.sh"
emoji=/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf
plain=/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf

if [ -e "$emoji" ]; then
    t "pictures" 0 sh -c "mm-glyph $emoji U+1F436 U+1F431 | mm-ls --json"
    has "with alpha" out '"dtype":"u8","shape":\[128,136,4\],.*"item":1,"kind":"image","name":"1F431"'
    t "to files" 0 sh -c "mm-glyph $emoji U+1F436 U+1F431 | mm-unpack -o d/"
    mm-pack -n 1F436 d/1F436.png >a.mmt && mm-glyph $emoji U+1F436 | mm-diff a.mmt - >/dev/null
    ok "and back" $?
    t "a character it lacks" 65 sh -c "mm-glyph $emoji U+10FFFD >x"
    same "is named" err "mm-glyph: U+10FFFD: not in the font"
    t "--keep-going" 65 sh -c "mm-glyph --keep-going $emoji U+10FFFD U+1F436 >x.mmt"
    t "gives the others" 0 mm-ls x.mmt
else
    skip "pictures of a font" "fonts-noto-color-emoji is not installed"
fi
t "a font without pictures" 65 sh -c "mm-glyph $plain U+0041 >x"
same "is refused" err "mm-glyph: $plain: holds no pictures"
t "a font that is none" 65 sh -c "mm-glyph '$TOP/Makefile' U+0041 >x"
t "no such font" 66 sh -c "mm-glyph nowhere.ttf U+0041 >x"
t "no character" 64 mm-glyph "$plain"
t "a character by itself" 64 mm-glyph "$plain" A
t "an empty one" 64 mm-glyph "$plain" U+
finish
