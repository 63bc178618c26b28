# ask.awk: what eval.mk asks of the pictures of a folder.  Reads questions.jsonl of mm-synth;
# writes, as mm-llm --prompts takes them, DIR/prompts.jsonl: of each picture a caption, its
# questions, then the same of the scene before (of the first picture: of the last scene);
# and DIR/blind.jsonl: the first two without the picture.  DIR/ids and DIR/blind-ids say line by
# line what was asked: members of an object.

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

function name(file, scene, how,   id, n, i) {
    n = split(ids[scene], id, "\n")
    for (i = 1; i < n; i++)
        printf "\"picture\": \"%s\", %s\n", how, id[i] >file
}

END {
    for (i = 1; i <= n; i++) {
        before = i > 1 ? i - 1 : n
        put(dir "/prompts.jsonl", image[i], i, "<image>\\n")
        name(dir "/ids", i, "seen")
        put(dir "/prompts.jsonl", image[i], before, "<image>\\n")
        name(dir "/ids", before, "wrong")
        put(dir "/blind.jsonl", image[i], i, "")
        name(dir "/blind-ids", i, "blind")
    }
}
