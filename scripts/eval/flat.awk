# flat.awk: JSON, an object a line, as lines of path and value with a tab between: members of
# members follow a dot, elements their number from 0.  Strings are as they are written.

function space() {
    while (substr(s, at, 1) ~ /[ \t]/)
        at++
}

function text(   from) {
    from = ++at
    while (substr(s, at, 1) != "\"" && at <= length(s))
        at += substr(s, at, 1) == "\\" ? 2 : 1
    return substr(s, from, at++ - from)
}

function value(path,   c, n, key) {
    space()
    c = substr(s, at, 1)
    if (c == "\"") {
        print path "\t" text()
    } else if (c != "{" && c != "[") {
        match(substr(s, at, 64), /^[^] \t,}]*/)
        print path "\t" substr(s, at, RLENGTH)
        at += RLENGTH
    } else {
        at++
        for (n = 0; at <= length(s); n++) {
            space()
            if (substr(s, at, 1) ~ /[]}]/)
                break
            key = n
            if (c == "{") {
                key = text()
                space()
                at++
            }
            value(path (path == "" ? "" : ".") key)
            space()
            if (substr(s, at, 1) == ",")
                at++
        }
        at++
    }
}

{
    s = $0
    at = 1
    value("")
}
