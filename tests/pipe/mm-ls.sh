#!/bin/sh
# mm-ls: streams, checkpoints, JSON, truncation.
. "$TOP/tests/pipe/lib.sh"
vectors=$TOP/formats/vectors
W=$GOLDEN/weights

t "lists a stream" 0 mm-ls "$vectors/good/mixed.mmt"
same "one line per record" out '-    tensor f32  [2,3]                    24
-    text   -    -                         6 "hello\n"
-    json   -    -                         4 "null"
-    text   -    -                        99 "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"...
-    tensor f32  [2,3]                    24'
t "JSON lines" 0 mm-ls --json "$vectors/good/attributes.mmt" "$vectors/good/scalar.mmt"
same "with the attributes" out '{"type":"text","bytes":1,"item":3,"kind":"text","modality":"text","name":"n","source":"s","model":"0123456789abcdef","rate":"16000","fps":"29.97","width":"640","height":"480","grid":"[2,3]","layer":"-2","text":"t"}
{"type":"tensor","dtype":"f64","shape":[],"bytes":8}'
t "a value cannot make a line or an escape sequence" 0 mm-ls "$vectors/good/escapes.mmt"
same "control characters are escaped" out \
    '-    text   -    -                         1 name="a\\b\nc\rd\te\u0001\u001f\u007f" x-e=" \b\u000b\f\u000e\u000f " "t"'
t "standard input" 0 sh -c "mm-ls <'$vectors/good/text.mmt'"
has "is listed" out hello
t "sections and several operands" 0 mm-ls "$vectors/good/sections.mmt" - "$vectors/good/text.mmt" \
    <"$vectors/good/bytes.mmt"
ok "all of them" "$(($(wc -l <out) - 5))"

t "a truncated stream" 65 mm-ls "$vectors/bad/no-end-second.mmt"
ok "what came before is listed" "$(($(wc -l <out) - 2))"
same "and the place is named" err \
    "mm-ls: $vectors/bad/no-end-second.mmt: truncated at offset 320: no end record after 1 records"
t "zero bytes are a truncated stream" 65 mm-ls /dev/null
t "a record over the limit" 65 mm-ls --max-record 1K "$vectors/good/text-large.mmt"
has "names both sizes" err 'payload of 80000 bytes, --max-record is 1024'

t "a safetensors file" 0 mm-ls "$W/quant-basic/inputs.safetensors"
has "its tensors" out '^-    tensor f32  \[35,64\]  *8960 name=rows$'
t "a GGUF file" 0 mm-ls "$W"/gguf-llama-q4_0/model/*.gguf
has "its metadata" out '^-    meta   general.architecture = "llama"$'
has "its quantised tensors" out ' tensor q4_0 \[96,96\]'
t "a GGUF file as JSON" 0 mm-ls --json "$W"/gguf-llama-q4_0/model/*.gguf
has "the metadata is an object" out '"type":"metadata".*"llama.block_count":2'
has "the tensors are lines" out '"type":"tensor","dtype":"q4_0","shape":\[96,96\]'
t "through mm-pack" 0 sh -c "mm-pack '$W'/gguf-llama-f32/model/*.gguf | mm-ls --json"
has "a record each" out '"name":"token_embd.weight"'

t "no such file" 66 mm-ls nothing.mmt
same "is named" err "mm-ls: nothing.mmt: No such file or directory"
t "unknown option" 64 mm-ls --frobnicate
has "prints the synopsis" err '^usage: mm-ls '
t "help" 0 mm-ls --help
t "version" 0 mm-ls --version
t "full disk" 74 sh -c "exec mm-ls '$vectors/good/mixed.mmt' >/dev/full"
t "closed standard output" 74 sh -c "exec mm-ls '$vectors/good/mixed.mmt' >&-"
finish
