# facts.awk: what can be said of test scenes without a model, as an object of JSON:
#
#   awk -f facts.awk what=test SCENES ... what=train SCENES ...
#
#   scenes      of test         least_seen  the part that is to be seen of the most hidden object
#   compared    of train        shared      test scenes that are among those
#   wordings    of a type of question, at least     kept    of these not in train, at least
#   unbalanced  the type whose most frequent answers are most above their share, by
#   above_share points (a form with k answers should have each in 100 / k of its questions)
#
# Of mm-synth --format vqa; scenes are the same if they show the same objects in the same places.

function member(s, key) {
    return match(s, "\"" key "\":\"[^\"]*\"") ? substr(s, RSTART + length(key) + 4, RLENGTH - length(key) - 5) : ""
}

function number(s, key) {
    return match(s, "\"" key "\":[0-9.]+") ? substr(s, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0 : 0
}

# The objects, sorted, as one string.
function content(s,   part, n, i, k, one, all) {
    sub(/.*"objects":\[/, "", s)
    sub(/"captions":.*/, "", s)
    n = split(s, part, "{\"noun\":")
    for (i = 2; i <= n; i++) {
        if (what == "test" && number(part[i], "seen") < least)
            least = number(part[i], "seen")
        match(part[i], /^"[^"]*"/)
        one = substr(part[i], RSTART, RLENGTH) member(part[i], "color") "," member(part[i], "size") "," member(part[i], "place")
        for (k = i - 1; k > 1 && part[k] > one; k--)
            part[k + 1] = part[k]
        part[k + 1] = one
    }
    for (i = 2; i <= n; i++)
        all = all part[i]
    return all
}

function questions(s, tier,   part, n, i, type, form, answer) {
    if (!sub(/.*"questions":\[/, "", s))
        return
    sub(/"conversations":.*/, "", s)
    n = split(s, part, "{\"type\":")
    for (i = 2; i <= n; i++) {
        match(part[i], /^"[^"]*"/)
        type = substr(part[i], RSTART + 1, RLENGTH - 2)
        word[what, type, number(part[i], "wording")]
        if (what == "train")
            continue
        types[type]
        form = type SUBSEP tier SUBSEP number(part[i], "form")
        answer = member(part[i], "answer")
        asked[form]++
        answers[form] += ++times[form, answer] == 1
        if (times[form, answer] > most[form])
            most[form] = times[form, answer]
    }
}

BEGIN { least = 1 }

{
    tier = member($0, "tier")
    here = tier content($0)
    if (what == "test") {
        test[here]
        scenes++
    } else {
        compared++
        if (here in test)
            shared++
    }
    questions($0, tier)
}

END {
    wordings = kept = 99
    for (type in types) {
        all = new = 0
        for (i = 0; i < 64; i++) {
            all += ("test", type, i) in word
            new += ("test", type, i) in word && !(("train", type, i) in word)
        }
        wordings = all < wordings ? all : wordings
        kept = new < kept ? new : kept
    }
    for (form in asked) {
        split(form, f, SUBSEP)
        above[f[1]] += most[form] - asked[form] / answers[form]
        n[f[1]] += asked[form]
    }
    worst = 0
    for (type in above)
        if (100 * above[type] / n[type] > worst) {
            worst = 100 * above[type] / n[type]
            unbalanced = type
        }
    printf "{\"scenes\": %d, \"least_seen\": %.3f, \"compared\": %d, \"shared\": %d, \"wordings\": %d, \"kept\": %d, \"unbalanced\": \"%s\", \"above_share\": %.2f}\n", \
        scenes, least, compared, shared, wordings, kept, unbalanced, worst
}
