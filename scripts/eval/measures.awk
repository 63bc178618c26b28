# measures.awk: the scores of a model, as flat.awk makes lines of them, as a table of Markdown: score
# and interval, chance, without the picture, with a wrong one.  -v beside=1: the scores of
# several models, of a file each, beside each other.

BEGIN { FS = "\t" }

FNR == 1 { files++ }

{ v[files, $1] = $2 }

$1 ~ /\.label$/ && !($1 in seen) {
    seen[$1]
    sub(/\.label$/, "", $1)
    key[++n] = $1
    label[n] = $2
}

function cell(file, key) {
    return v[file, key] == "" ? "" : sprintf("%.1f", v[file, key])
}

function interval(file, key,   low) {
    low = v[file, key ".ci95.score.0"]
    return low == "" ? "" : sprintf(" [%.1f, %.1f]", low, v[file, key ".ci95.score.1"])
}

END {
    printf "| of %d scenes a tier |", v[files, "scenes"]
    if (beside)
        for (f = 1; f <= files; f++)
            printf " %s |", v[f, "model"]
    else
        printf " n | score, 95%% | chance | without the picture | with a wrong one |"
    printf "\n|---|"
    for (f = 1; f <= (beside ? files : 5); f++)
        printf "---:|"
    printf "\n"
    for (i = 1; i <= n; i++) {
        printf "| %s |", label[i]
        if (beside)
            for (f = 1; f <= files; f++)
                printf " %s%s |", cell(f, key[i] ".score"), interval(f, key[i])
        else
            printf " %d | %s%s | %s | %s | %s |", v[1, key[i] ".n"], cell(1, key[i] ".score"), interval(1, key[i]),
                cell(1, key[i] ".chance"), cell(1, key[i] ".blind"), cell(1, key[i] ".wrong")
        printf "\n"
    }
}
