# models: where a name given to -m, or none, leads; adapters that name their base
. "$TOP/tests/pipe/lib.sh"
case=$GOLDEN/llava/v15_hf
L=$GOLDEN/llama/lora
unset MM_MODEL
export MM_MODELS="$PWD/own"

# --- those that come with the programs: in the tree, and installed
mkdir -p tree/build/x/bin tree/lib/models/small pre/bin pre/share/mm/models
cp "$MM_BIN/mm-encode" "$MM_BIN/mm-project" "$MM_BIN/mm-llm" tree/build/x/bin
ln tree/build/x/bin/* pre/bin
cp "$TOP/scripts/mm-vqa" "$TOP/scripts/mm-caption" "$TOP/scripts/mm-chat" pre/bin
cp -r "$case/model" tree/lib/models/small/llava
ask() { # BIN OPTIONS...: the pipeline of the programs in BIN
    bin=$1
    shift
    "$bin/mm-encode" "$@" "$case/cat.png" >f.mmt && "$bin/mm-project" "$@" f.mmt |
        "$bin/mm-llm" "$@" -t 0 -n 8 -p '<image>'
}
t "no model is named" 0 ask tree/build/x/bin
cp out tree.out
t "a model in the tree answers" 0 ask "$MM_BIN" -m "$case/model"
cmp -s out tree.out; ok "as by its path" $?
t "by its name too" 0 ask tree/build/x/bin -m llava
cmp -s out tree.out; ok "the same" $?
t "none has come" 66 ask pre/bin
has "it says where it looked" err "^mm-encode: model 'llava': not here, nor in $PWD/own:$PWD/pre/share/mm/models"
cp -r "$case/model" pre/share/mm/models/llava
t "an installed one" 0 ask pre/bin
cmp -s out tree.out; ok "answers the same" $?
t "mm-vqa without a model" 0 env PATH="$PWD/pre/bin:$PATH" mm-vqa "$case/cat.png" 'Why?'
t "mm-caption" 0 env PATH="$PWD/pre/bin:$PATH" mm-caption "$case/cat.png"
t "mm-chat" 0 sh -c "echo Why? | PATH='$PWD/pre/bin:$PATH' mm-chat '$case/cat.png'"
mkdir own
ln -s "$GOLDEN/llava/v16_mistral/model" own/llava
t "MM_MODELS comes first" 1 sh -c "pre/bin/mm-encode '$case/cat.png' | cmp -s - f.mmt"

# --- an adapter names its base
mkdir adapted
sed 's/"base_model_name_or_path": *[^,]*/"base_model_name_or_path": "tiny"/' "$L/adapter/adapter_config.json" >adapted/adapter_config.json
cp "$L/adapter/adapter_model.safetensors" adapted
printf '1,5,9\n' >ids.csv
mm-pack --kind tokens --name ids ids.csv >ids.mmt
llm() { mm-llm -t 0 -n 8 --exact --json "$@" ids.mmt; }
t "a base that is not here" 69 llm -m adapted
has "it says what to do" err "base model 'tiny' is not here: install it (mm-get tiny), or give it (--base)"
ln -s "$L/model" own/tiny
t "one that is" 0 llm -m adapted
sed 's/, .ms.*//' out >adapted.out
t "the adapter by hand" 0 llm -m "$L/model" --lora adapted
sed 's/, .ms.*//' out | cmp -s - adapted.out
ok "the same answer" $?
t "another base" 0 llm -m adapted --base "$L/model"
rm own/tiny
mkdir -p adapted/x
sed 's/"tiny"/"..\/base"/' adapted/adapter_config.json >adapted/x/adapter_config.json
cp adapted/adapter_model.safetensors adapted/x
ln -s "$L/model" adapted/base
t "beside the adapter" 0 llm -m adapted/x
sed 's/"tiny"/"who\/tiny"/' adapted/adapter_config.json >adapted/x/adapter_config.json
t "a hub's name" 69 llm -m adapted/x
has "which nobody here knows" err "base model 'who/tiny' is not here: give it (--base)"
ln -s "$L/model" own/tiny
t "and its last part" 0 llm -m adapted/x
finish
