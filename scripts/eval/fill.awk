# fill.awk: scenes for the printed words that test does not show: all their colors and places
# belong to other splits.  Reads scenes.jsonl of test and of val; writes to DIR scenes.jsonl, at
# most `most` scenes a word, each with the one question for its word and marked for
# mm-eval world; questions.jsonl; and left, the pictures that are not needed.

function noun() {
    match($0, /"noun":"[^"]*"/)
    return substr($0, RSTART + 8, RLENGTH - 9)
}

FNR == NR {
    there[noun()]
    next
}

{
    word = noun()
    match($0, /"id":"[^"]*"/)
    image = "images/" substr($0, RSTART + 6, RLENGTH - 7) ".png"
    match($0, /"index":[0-9]+/)
    index_of = substr($0, RSTART + 8, RLENGTH - 8)
    asked = match($0, "{\"type\":\"reading\",\"form\":[0-9]+,\"wording\":[0-9]+,\"question\":\"[^\"]*\",\"answer\":\"" word "\"}")
    question = asked ? substr($0, RSTART, RLENGTH) : ""
    if (!asked || word in there || taken[word] == most) {
        print image >(dir "/left")
        next
    }
    taken[word]++
    sub(/"questions":.*/, "")
    sub(/^{/, "{\"fill\":true,")
    print $0 "\"questions\":[" question "]}" >(dir "/scenes.jsonl")
    split(question, part, "\"")
    printf "{\"question_id\":%.0f,\"image\":\"%s\",\"text\":\"%s\",\"category\":\"reading\"}\n", \
        64 * index_of, image, part[12] >(dir "/questions.jsonl")
}
