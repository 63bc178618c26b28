# score.awk: how much of what the references say was said, in per cent.  Reads the LLaVA JSON
# lines of mm-synth, then the lines of mm-llm --json, in the same order.  -v type=
#   talks    the answer
#   reasons  what is behind "the answer is"
#   details  objects with name, color, place and size, of max(those there are, those named)

BEGIN { FS = "\"" } # the first answer is in $26: see mm_doc_llava

function objects(text, seen,   s, n, i, last, found) {
    n = split(text, s, /\. ?/)
    for (i = 1; i <= n; i++) {
        if (s[i] ~ /^(A|An) .* is (at|in|on) /)
            last = s[i]
        else if (s[i] ~ /^It is (small|large)$/ && last != "") {
            found++
            seen[last " " s[i]]++
            last = ""
        }
    }
    return found + 0
}

function answer(text) {
    if (type == "reasons" && !sub(/.*the answer is /, "", text))
        return "?"
    sub(/\.$/, "", text)
    return tolower(text)
}

FNR == NR { want[FNR] = $26; next }

{
    text = match($0, /"text": ?"[^"]*"/) ? substr($0, RSTART, RLENGTH) : ""
    sub(/^"text": ?"/, "", text)
    sub(/"$/, "", text)
    items++
    if (type == "details") {
        split("", a)
        split("", b)
        n = objects(want[FNR], a)
        m = objects(text, b)
        right = 0
        for (k in a)
            right += a[k] < b[k] ? a[k] : b[k] + 0
        if (n > 0)
            sum += right / (n > m ? n : m)
    } else
        sum += answer(text) == answer(want[FNR])
}

END {
    if (items != length(want)) {
        print "score.awk: " items + 0 " answers to " length(want) " questions" >"/dev/stderr"
        exit 1
    }
    printf "%.2f\n", 100 * sum / items
}
