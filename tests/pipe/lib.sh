# lib.sh: points of a pipe test; sourced.  Prints TAP; `finish` prints the plan.
#
#   run STATUS COMMAND...   runs it with stdout in ./out, stderr in ./err
#   t NAME STATUS COMMAND.. a point: the command ends with STATUS
#   same NAME FILE TEXT     a point: FILE holds exactly TEXT and a newline
#   has NAME FILE PATTERN   a point: a line of FILE matches the basic pattern
#   not_there NAME FILE     a point: FILE does not exist
#   ok NAME STATUS          a point by the status of what just ran (0 is ok)
#   skip NAME WHY           a point that cannot run here; counted nowhere
set -u
n=0 failed=0

ok() {
    n=$((n + 1))
    if [ "$2" = 0 ]; then echo "ok $n - $1"; return 0; fi
    failed=$((failed + 1))
    echo "not ok $n - $1"
    return 0
}

skip() {
    n=$((n + 1))
    echo "ok $n - $1 # skip $2"
}

run() {
    want=$1
    shift
    "$@" >out 2>err
    got=$?
    [ "$got" = "$want" ] || { echo "# $*: status $got, want $want"; sed 's/^/# /' err | head -5; }
    [ "$got" = "$want" ]
}

t() {
    name=$1
    shift
    run "$@"
    ok "$name" $?
}

same() {
    printf '%s\n' "$3" | cmp -s - "$2"
    rc=$?
    [ $rc = 0 ] || { echo "# want: $3"; sed 's/^/# got: /' "$2" | head -5; }
    ok "$1" $rc
}

has() {
    grep -q -e "$3" "$2"
    rc=$?
    [ $rc = 0 ] || { echo "# no line matches: $3"; sed 's/^/# /' "$2" | head -5; }
    ok "$1" $rc
}

not_there() {
    test ! -e "$2"
    ok "$1" $?
}

finish() {
    echo "1..$n"
    exit $((failed > 0))
}
