# ask.awk: what eval.mk asks of the pictures of a folder.  Reads questions.jsonl of mm-synth;
# writes DIR/prompts.jsonl, DIR/blind.jsonl (without the picture) and DIR/wrong.jsonl (of the
# scene before, the first picture of the last), as mm-llm --prompts takes them: of each
# picture a caption, then the questions.  DIR/ids and DIR/wrong-ids say line by line
# what was asked.

BEGIN { FS = "\"" } # question_id is in $3, image in $6, text in $10: see mm_doc_vqa

function ask(scene, id, text) {
    ids[scene] = ids[scene] sprintf("\"image\": \"%s\"%s\n", image[scene], id)
    asked[scene] = asked[scene] text "\n"
}

function put(file, picture, scene, before,   text, n, i) {
    n = split(asked[scene], text, "\n")
    for (i = 1; i < n; i++)
        printf "{\"source\": \"%s\", \"prompt\": \"%s%s\"}\n", picture, before, text[i] >file
}

$6 != image[n] {
    image[++n] = $6
    ask(n, "", caption)
}

{
    gsub(/[^0-9]/, "", $3)
    ask(n, ", \"question_id\": " $3, $10)
}

END {
    for (i = 1; i <= n; i++) {
        before = i > 1 ? i - 1 : n
        put(dir "/prompts.jsonl", image[i], i, "<image>\\n")
        put(dir "/blind.jsonl", image[i], i, "")
        put(dir "/wrong.jsonl", image[i], before, "<image>\\n")
        printf "%s", ids[i] >dir "/ids"
        printf "%s", ids[before] >dir "/wrong-ids"
    }
}
