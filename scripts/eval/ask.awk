# ask.awk: what eval.mk asks of the pictures of a folder.  Reads questions.jsonl of mm-synth;
# writes, as mm-llm --prompts takes them, DIR/prompts.jsonl: of each picture a caption (where
# one is given), its questions, then the same of the scene before (of the first picture: of
# the last scene); and DIR/blind.jsonl: the questions without the picture, each once.
# DIR/ids says line by line what was asked: members of an object.  DIR/blind-ids too, the
# number of the answer before them: 1 is the caption, the first question's is 2.

BEGIN { FS = "\"" } # question_id is in $3, image in $6, text in $10: see mm_doc_vqa

function ask(scene, id, text) {
    ids[scene] = ids[scene] sprintf("\"image\": \"%s\"%s\n", image[scene], id)
    asked[scene] = asked[scene] text "\n"
    if (id != "" && !(text in once)) {
        once[text] = ++nonce + 1
        printf "{\"prompt\": \"%s\"}\n", text >(dir "/blind.jsonl")
    }
}

function put(file, picture, scene,   text, n, i) {
    n = split(asked[scene], text, "\n")
    for (i = 1; i < n; i++)
        printf "{\"source\": \"%s\", \"prompt\": \"<image>\\n%s\"}\n", picture, text[i] >file
}

$6 != image[n] {
    image[++n] = $6
    if (caption != "")
        ask(n, "", caption)
}

{
    gsub(/[^0-9]/, "", $3)
    ask(n, ", \"question_id\": " $3, $10)
}

function name(file, scene, how,   id, text, n, i) {
    n = split(ids[scene], id, "\n")
    split(asked[scene], text, "\n")
    for (i = 1; i < n; i++)
        printf "%s\"picture\": \"%s\", %s\n", \
            how != "blind" ? "" : (index(id[i], "question_id") ? once[text[i]] : 1) " ", how, id[i] >file
}

END {
    for (i = 1; i <= n; i++) {
        before = i > 1 ? i - 1 : n
        put(dir "/prompts.jsonl", image[i], i)
        name(dir "/ids", i, "seen")
        put(dir "/prompts.jsonl", image[i], before)
        name(dir "/ids", before, "wrong")
        name(dir "/blind-ids", i, "blind")
    }
}
