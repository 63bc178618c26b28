/* main.c: runs a fuzz target over the files that a list names, for coverage. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    char path[4096];
    FILE *list = argc > 1 ? fopen(argv[1], "r") : NULL;

    while (list && fgets(path, sizeof(path), list)) {
        path[strcspn(path, "\n")] = '\0';
        FILE *f = fopen(path, "rb");
        if (!f)
            continue;
        fseek(f, 0, SEEK_END);
        const long n = ftell(f);
        rewind(f);
        uint8_t *data = malloc((size_t)n + 1);
        if (data && fread(data, 1, (size_t)n, f) == (size_t)n)
            LLVMFuzzerTestOneInput(data, (size_t)n);
        free(data);
        fclose(f);
    }
    return 0;
}
