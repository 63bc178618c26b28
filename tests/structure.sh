#!/bin/sh
# structure: what the house style says of the tree, checked.  Prints TAP.
. "$TOP/tests/pipe/lib.sh"
here=$(pwd)
cd "$TOP" || exit 1

# point NAME LIST: passes when LIST is empty, else shows it
point() {
    [ -z "$2" ]
    rc=$?
    [ $rc = 0 ] || printf '%s\n' "$2" | head -20 | sed 's/^/# /'
    ok "$1" $rc
}

# top level
point "top level holds what it should" "$(git ls-files 2>/dev/null | sed 's,/.*,,' | sort -u |
    grep -vxE 'Makefile|README.md|LICENSE|cmd|lib|man|formats|scripts|tests|\.gitignore|\.clang-format|\.ci')"

# layers: an include names a layer at or below the file's own
rank() {
    case $1 in
    base) echo 0 ;; kernel | net) echo 1 ;; stream | media | weights) echo 2 ;; text | synth) echo 3 ;;
    tensor) echo 4 ;; nn | diffuse) echo 5 ;; model) echo 6 ;; train | eval) echo 7 ;;
    *) echo 99 ;;
    esac
}
bad=
for d in lib/*/; do
    layer=$(basename "$d")
    own=$(rank "$layer")
    for inc in $(sed -n 's,^#include "\([a-z_]*\)/[a-z_0-9]*\.h".*,\1,p' "$d"*.c "$d"*.h | sort -u); do
        r=$(rank "$inc")
        if [ "$r" -gt "$own" ] || { [ "$r" = "$own" ] && [ "$inc" != "$layer" ]; }; then
            bad="$bad $layer->$inc"
        fi
    done
done
point "each layer includes only layers below it" "$bad"
point "commands include only headers of lib" "$(grep -n '^#include "' cmd/*.c |
    grep -vE '"(base|kernel|net|stream|media|synth|weights|text|tensor|nn|diffuse|model|train|eval)/')"

# one page, one pipe test per program
for c in cmd/*.c; do
    p=$(basename "$c" .c)
    [ -e "man/$p.1" ]; ok "$p has a page" $?
    [ -e "tests/pipe/$p.sh" ]; ok "$p has a pipe test" $?
done
for s in scripts/mm-*; do
    [ -e "man/$(basename "$s").1" ]; ok "$(basename "$s") has a page" $?
done

# headers compile alone
for h in lib/*/*.h; do
    case $h in *_tmpl.h) continue ;; esac # bodies that each ISA file includes
    printf '#include "%s"\n' "${h#lib/}" >"$here/header.c"
    cc -std=c11 -Ilib -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -fsyntax-only "$here/header.c" \
        2>"$here/header.err" || { cat "$here/header.err"; false; }
    ok "$h compiles alone" $?
done

# the library does not print, exit or use unchecked parsers
point "lib neither prints nor exits" "$(grep -nE '\b(printf|puts|exit|abort|atoi|atof|strcpy|sprintf|gets|vprintf)\(' \
    lib/*/*.c | grep -vE '^lib/base/(cmd|progress)\.c|snprintf|vsnprintf|fprintf\(f')"
point "only base/io.c reads and writes" "$(grep -nE '[^a-z_](read|write|pread|pwrite)\(' lib/*/*.c cmd/*.c |
    grep -vE '^lib/base/(io|cmd|progress|outfile)\.c')"

# sizes
point "modules have at most 800 lines" "$(wc -l lib/*/*.c lib/*/*.h tests/*/*.c |
    awk '$1 > 800 && $2 != "total" { print $2, $1 }')"
point "commands have at most 600 lines" "$(wc -l cmd/*.c | awk '$1 > 600 && $2 != "total" { print $2, $1 }')"
point "functions have at most 80 lines" "$(awk 'FNR == 1 { s = 0 } /^\{/ { s = FNR }
    /^\}/ { if (s && FNR - s > 80) print FILENAME ":" s ": " FNR - s; s = 0 }' cmd/*.c lib/*/*.c)"

# symbols: a public function begins with mm_
point "public names begin with mm_" "$(nm -g --defined-only build/release/libmm.a 2>/dev/null |
    awk '$2 ~ /^[TDBR]$/ && $3 !~ /^mm_/ { print $3 }')"

# pages are well-formed
if command -v mandoc >/dev/null; then
    point "pages are well-formed" "$(mandoc -T lint -W warning man/*.[157] 2>&1 | grep -vE 'STYLE|missing date|cross reference' | head -20)"
else
    skip "pages are well-formed" "mandoc is not installed"
fi

# no paths of a machine, nothing left for later
point "no machine paths" "$(git grep -nIE '/(root|home|work)/' -- . ':!tests/golden' ':!tests/structure.sh' 2>/dev/null | head)"
point "nothing left for later" "$(git grep -nE '\b(TODO|FIXME|XXX|HACK)\b' -- cmd lib scripts tests ':!tests/structure.sh' ':!tests/golden' 2>/dev/null | head)"

# install and uninstall
make -s install DESTDIR="$here/dest" >/dev/null 2>"$here/err"
ok "make install" $?
"$here/dest/usr/local/bin/mm-ls" --version >/dev/null && [ -e "$here/dest/usr/local/share/man/man7/mm.7" ] &&
    [ -x "$here/dest/usr/local/bin/mm-vqa" ] && "$here/dest/usr/local/libexec/mm/sprites" -h >/dev/null &&
    [ -e "$here/dest/usr/local/libexec/mm/sprites.awk" ]
ok "programs, scripts and pages are installed" $?
make -s uninstall DESTDIR="$here/dest" >/dev/null
point "make uninstall leaves nothing" "$(find "$here/dest" -type f)"

# every program answers --version and --help, and refuses what it does not know
for c in cmd/*.c; do
    p=$(basename "$c" .c)
    "$p" --version >"$here/out" 2>&1 && grep -q "^$p " "$here/out"
    ok "$p --version" $?
    "$p" --help >"$here/out" 2>"$here/err" && [ "$(wc -l <"$here/out")" -le 50 ] && [ ! -s "$here/err" ]
    ok "$p --help fits one screen" $?
    "$p" --no-such-option >"$here/out" 2>"$here/err" </dev/null
    [ $? = 64 ] && [ ! -s "$here/out" ] && grep -q usage "$here/err"
    ok "$p refuses an unknown option" $?
done
finish
