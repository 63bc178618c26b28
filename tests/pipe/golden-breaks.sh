# golden-breaks: a test of the golden test: one altered tensor of a checkpoint makes the
# comparison fail, and the first stage that differs is the one that uses it
. "$TOP/tests/pipe/lib.sh"
C=$GOLDEN/llava/v15_hf

cat >alter.py <<'END'
"""alter.py DIR NAME: negate the tensor NAME of the f32 safetensors shards in DIR."""
import glob, json, struct, sys
for path in glob.glob(sys.argv[1] + "/*.safetensors"):
    data = bytearray(open(path, "rb").read())
    n = struct.unpack("<Q", data[:8])[0]
    t = json.loads(data[8:8 + n]).get(sys.argv[2])
    if t:
        for at in range(8 + n + t["data_offsets"][0] + 3, 8 + n + t["data_offsets"][1], 4):
            data[at] ^= 0x80
        open(path, "wb").write(data)
        sys.exit(0)
sys.exit(1)
END
cat >map <<'END'
one.vision.hidden.0 clip.pre_ln
one.vision.hidden.1 clip.layers.0
one.vision.hidden.2 clip.layers.1
one.vision.hidden.3 clip.layers.2
one.vision.hidden.4 clip.layers.3
one.features clip.select
one.pixel_values pixel_values
one.proj.1 projector.0
one.proj.act projector.act
one.proj.2 projector
one.embeds embeddings
one.lm.layers.0 layers.0
one.lm.layers.1 layers.1
one.lm.layers.2 layers.2
one.lm.norm norm
one.logits logits
END
# only the stages of prompt `one`, in the order in which they are computed
mm-pack "$C/expected.safetensors" | mm-cut -w 'name=one.*' >all.mmt
: >want.mmt
while read -r a b; do
    mm-cut -w "name=$a" -n "$b" all.mmt >>want.mmt
done <map
prompt=$(sed -n 's/.*"text": "\(A chat.*\)",$/\1/p' "$C/case.json" | head -1)

trace() {
    mm-encode -m "$1" -1 --exact --trace e.mmt "$C/cat.png" | mm-project -m "$1" --exact --trace p.mmt |
        mm-llm -m "$1" --exact --trace l.mmt -p "$prompt" -n 1 -t 0 >answer
    cat e.mmt p.mmt l.mmt >t.mmt
}

trace "$C/model"
t "the checkpoint as it is agrees" 0 mm-diff -r 1e-4 want.mmt t.mmt

# breaks STAGE TENSOR: the first stage out of tolerance
breaks() {
    rm -rf m
    cp -r "$C/model" m
    chmod -R u+w m
    python3 alter.py m "$2" || "${PYTHON:-python3}" alter.py m "$2"
    trace m
    t "altered $2: differs" 1 mm-diff -r 1e-4 --json want.mmt t.mmt
    first=$(sed -n '/"ok": *false/{s/.*"name": *"\([^"]*\)".*/\1/p;q;}' out)
    [ "$first" = "$1" ]
    rc=$?
    [ $rc = 0 ] || { echo "# first stage that differs: $first"; head -3 out | sed 's/^/# /'; }
    ok "and $1 is the first stage named" $rc
}
breaks clip.layers.1 vision_tower.vision_model.encoder.layers.1.mlp.fc1.weight
breaks projector.0 multi_modal_projector.linear_1.bias
breaks projector multi_modal_projector.linear_2.weight
breaks embeddings language_model.model.embed_tokens.weight
breaks layers.1 language_model.model.layers.1.self_attn.k_proj.weight
breaks logits language_model.lm_head.weight
finish
