# mm-lora: adapters merged and taken out
. "$TOP/tests/pipe/lib.sh"
C=$GOLDEN/train/llava_stage2_lora
W='name=language_model.model.layers.0.mlp.up_proj.weight'

t "merged" 0 mm-lora merge -m "$C/model" --lora "$C/adapter" -o merged
mm-pack "$C/model/model.safetensors" >was.mmt
mm-pack merged/model.safetensors >merged.mmt
t "unmerged" 0 mm-lora unmerge -m merged --lora "$C/adapter" -o back
t "it is as before" 0 sh -c "mm-pack back/model.safetensors | mm-diff -r 1e-6 was.mmt -"
# B of the golden adapter is zero: one that has learned something
mm-train llava-instruct --model "$C/model" --adapter "$C/adapter" --images "$C/images" --lr 0.01 --steps 4 -B 2 \
    --freeze '*projector*' -o trained "$C/instruct.json"
t "a trained one" 0 mm-lora merge -m "$C/model" --lora trained/adapter -o m2
t "moves its weights" 1 sh -c "mm-pack m2/model.safetensors | mm-cut -w '$W' >m2.mmt; mm-cut -w '$W' was.mmt | mm-diff -r 1e-3 - m2.mmt"
t "gives the tokens of model and adapter" 0 sh -c "
    mm-encode -m '$C/model' '$C/images/a.png' | mm-project -m '$C/model' >p.mmt
    mm-llm -m m2 -n 8 -t 0 --exact -p '<image>' p.mmt >a; mm-llm -m '$C/model' --lora trained/adapter -n 8 -t 0 --exact -p '<image>' p.mmt | cmp - a"
t "and goes out again" 0 sh -c "mm-lora unmerge -m m2 --lora trained/adapter -o b2 && mm-pack b2/model.safetensors | mm-diff -r 1e-5 was.mmt -"
t "in bf16" 0 sh -c "mm-lora merge -m '$C/model' --lora trained/adapter --dtype bf16 -o h && mm-ls h/model.safetensors | grep -c ' bf16 '"
t "neither" 64 mm-lora -m m2 --lora trained/adapter -o x
t "another word" 64 mm-lora -m m2 --lora trained/adapter -o x mix
t "no adapter" 64 mm-lora merge -m m2 -o x
t "no such adapter" 66 mm-lora merge -m m2 --lora ./no -o x
t "of another model" 65 mm-lora merge -m "$GOLDEN/llama/mha/model" --lora trained/adapter -o x
finish
