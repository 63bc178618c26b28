# verdict.awk: what the shipped model is to reach, a row each: value, its 95% interval, what is
# asked, and whether that is reached.  Reads the lines that flat.awk makes of a model's
# scores (eval.mk).  -v markdown=1: a table of Markdown.

BEGIN { FS = "\t" }

{ v[$1] = $2 }

function row(label, value, interval, asked, reached) {
    rows += asked != ""
    good += asked != "" && reached
    reached = asked == "" ? "" : reached ? "ok" : "short"
    if (markdown)
        printf "| %s | %s | %s | %s | %s |\n", label, value, interval, asked, reached
    else
        printf "%-62s %7s %-15s %-9s %s\n", label, value, interval, asked, reached
}

# A score of `least` or more; groups: nouns or words, of which there are to be so many.
function score(key, least, groups, many,   label, said) {
    label = v[key ".label"]
    said = groups == "" || v[key ".groups"] == "" ? "" : " (" v[key ".groups"] " " groups ")"
    if (v[key ".score"] == "")
        row(label == "" ? key : label said, "-", "", least == "" ? "" : ">= " least, 0)
    else
        row(label said, sprintf("%.1f", v[key ".score"]), interval(key, "score", 0), least == "" ? "" : ">= " least,
            v[key ".score"] >= least && v[key ".groups"] + 0 >= many + 0)
}

function interval(key, column, less) {
    key = key ".ci95." column
    return v[key ".0"] == "" ? "" : sprintf("[%.1f, %.1f]", v[key ".0"] - less, v[key ".1"] - less)
}

# Of all measures the one that a guess without seeing lifts most above chance.
function guess(column, said,   k, worst, above) {
    above = -1000
    for (k in v)
        if (sub("\\." column "$", "", k) && k !~ /ci95$/ && v[k "." column] - v[k ".chance"] > above) {
            worst = k
            above = v[k "." column] - v[k ".chance"]
        }
    if (worst == "")
        row(said, "-", "", "<= 5", 0)
    else
        row(said ", above chance (" worst ")", sprintf("%.1f", above), interval(worst, column, v[worst ".chance"]), "<= 5", above <= 5)
}

END {
    if (markdown) {
        print "| what | value | 95% | asked | |"
        print "|---|---|---|---|---|"
    }
    score("caption.few", 90)
    score("caption.many", 90)
    row("the most that is hidden of an object, %", sprintf("%.1f", 100 - 100 * v["world.least_seen"]), "", "<= 25", \
        v["world.least_seen"] >= 0.75)
    score("names.things", 85, "nouns")
    score("names.artist", "", "nouns")
    score("vqa.all", 95)
    n = split("existence count color shape name size position relation comparison multi-step reading", type, " ")
    for (i = 1; i <= n; i++)
        score("type." type[i], 85)
    score("vqa.held", 80)
    score("caption.held", 80)
    score("words.list", 80, "words", 200)
    score("words.unseen", 40, "words", 50)
    row("answers: the most frequent, points above its share (" v["world.unbalanced"] ")", sprintf("%.1f", v["world.above_share"]), \
        "", "<= 5", v["world.above_share"] <= 5)
    row("wordings of a type of question", v["world.wordings"] + 0, "", ">= 6", v["world.wordings"] >= 6)
    row("of them kept from training", v["world.kept"] + 0, "", ">= 2", v["world.kept"] >= 2)
    guess("blind", "without the picture")
    guess("wrong", "with a wrong picture")
    row("test scenes among " v["world.compared"] " of training", v["world.shared"] + 0, "", "<= 0", v["world.shared"] == 0)
    if (!markdown)
        printf "%d of %d reached%s\n", good, rows, v["scenes"] < 2000 ? "; asked of 2000 scenes a tier, these are " v["scenes"] : ""
}
