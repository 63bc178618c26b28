# table.awk: mean and standard deviation over the seeds of RUN@SEED/TYPE.score.
#   awk -v runs='full none' -v seeds='1 2 3' -v types='talks details' -f table.awk </dev/null

function cell(sum, squares, n,   sd) {
    sd = n > 1 ? sqrt((squares - sum * sum / n > 0 ? squares - sum * sum / n : 0) / (n - 1)) : 0
    return sprintf("  %6.1f +- %4.1f", sum / n, sd)
}

BEGIN {
    nr = split(runs, run, " ")
    ns = split(seeds, seed, " ")
    nt = split(types, type, " ")
    printf "%-18s", "stage 2 learns"
    for (t = 1; t <= nt; t++)
        printf "  %14s", type[t]
    printf "  %14s\n", "all"
    for (r = 1; r <= nr; r++) {
        printf "%-18s", run[r]
        for (s = 1; s <= ns; s++)
            all[s] = 0
        for (t = 1; t <= nt; t++) {
            sum = squares = 0
            for (s = 1; s <= ns; s++) {
                file = run[r] "@" seed[s] "/" type[t] ".score"
                if ((getline x <file) != 1) {
                    print "table.awk: " file " holds no score" >"/dev/stderr"
                    exit 1
                }
                close(file)
                sum += x
                squares += x * x
                all[s] += x / nt
            }
            printf "%s", cell(sum, squares, ns)
        }
        sum = squares = 0
        for (s = 1; s <= ns; s++) {
            sum += all[s]
            squares += all[s] * all[s]
        }
        printf "%s\n", cell(sum, squares, ns)
    }
}
