# llava.mk: the small LLaVA that ships, from nothing.
#
#   make -f scripts/train/llava.mk            everything, into build/train/llava
#   make -f scripts/train/llava.mk ship       copies the result to lib/models/small/llava
#   make -f scripts/train/llava.mk card       measures it (make eval) and writes its README.md there
#   make -f scripts/train/llava.mk SCALE=100  a hundredth of the work: does it run?
#
# The stages are LLaVA's: a tokenizer and a small LLaMA of the world's texts, a CLIP of its
# pictures, stage 1 (the projector alone learns captions), stage 2 (talks, then many questions
# about each picture: from few it learns no yes and no).  From captions of
# whole pictures, which colours and places tell apart, a CLIP learns no shapes in so few
# pictures; so this one learns what is in which box (`regions`), and its tower begins by
# looking at neighbours.  In stage 2 it is trained too.  Interrupt it at will: the same command
# goes on from the last checkpoint, which is never older than ten minutes, and ends with the
# same bytes.

BIN ?= build/release/bin
W ?= build/train/llava
SPRITES ?= build/sprites
SCALE ?= 1
J ?= $(shell nproc)
SHIP ?= lib/models/small/llava

# updates of each stage
CLIP_STEPS ?= 12500
LM_STEPS ?= 500
ALIGN_STEPS ?= 200
TALK_STEPS ?= 8000
MORE_STEPS ?= 4200
# samples of one
CLIP_BATCH ?= 32
LM_BATCH ?= 16
BATCH ?= 32

here := $(dir $(lastword $(MAKEFILE_LIST)))
train := $(BIN)/mm-train
synth := $(BIN)/mm-synth -q -j $(J) --sprites $(SPRITES) --hold-artist tuxpaint
part = $(shell expr \( $1 + $(SCALE) - 1 \) / $(SCALE))
steps = --steps $(call part,$1) --resume -j $(J)
adam := --weight-decay 0.05 --betas 0.9,0.98

.DELETE_ON_ERROR:
.PHONY: all data ship card
all: $(W)/llava/model.safetensors

# --- the world
# $(call boxes,FOLDER,SEED,N,OPTIONS): regions of N pictures that are named from $(W)/data
define boxes
	rm -rf $(W)/data/$1
	mkdir -p $(W)/data
	$(synth) -s $2 -n $(call part,$3) $4 --format regions -o $(W)/data/$1
	sed 's|"image":"images/|"image":"$1/images/|' $(W)/data/$1/region_descriptions.json >$@.part
	rm $(W)/data/$1/region_descriptions.json
	mv $@.part $@
endef
# $(call scenes,FOLDER,SEED,N,OPTIONS): talks of N scenes whose pictures are named from $(W)/data
define scenes
	rm -rf $(W)/data/$1
	mkdir -p $(W)/data
	$(synth) -s $2 -n $(call part,$3) $4 --format llava -o $(W)/data/$1
	sed -i 's|"image": *"images/|"image":"$1/images/|' $(W)/data/$1/llava.json
	mv $(W)/data/$1/llava.json $@
endef
all_tiers := --tier shapes,things,words
regions := boxes-shapes boxes-things boxes-words
talks := talks talks-words captions captions-words details
more := many many-words more-captions captions-words details
data: $(regions:%=$(W)/data/%.json) $(patsubst %,$(W)/data/%.json,$(sort $(talks) $(more))) $(W)/data/text

$(SPRITES)/sprites.tsv:
	mkdir -p $(@D)
	PATH=$(abspath $(BIN)):$$PATH sh $(here)../sprites $(@D)

$(W)/data/%.json: | $(SPRITES)/sprites.tsv
	$(call scenes,$*,$(seed),$(scenes_of),$(opts))
$(W)/data/talks.json: seed = 21
$(W)/data/talks.json: scenes_of = 110000
$(W)/data/talks.json: opts = --tier shapes,things --questions 16 --turns qa,reason
$(W)/data/talks-words.json: seed = 22
$(W)/data/talks-words.json: scenes_of = 20000
$(W)/data/talks-words.json: opts = --tier words --invented 0.4 --turns qa
$(W)/data/captions.json: seed = 23
$(W)/data/captions.json: scenes_of = 110000
$(W)/data/captions.json: opts = --tier shapes,things --turns caption
$(W)/data/captions-words.json: seed = 24
$(W)/data/captions-words.json: scenes_of = 40000
$(W)/data/captions-words.json: opts = --tier words --invented 0.6 --turns caption
$(W)/data/details.json: seed = 25
$(W)/data/details.json: scenes_of = 12000
$(W)/data/details.json: opts = $(all_tiers) --invented 0.5 --turns detail
$(W)/data/many.json: seed = 26
$(W)/data/many.json: scenes_of = 70000
$(W)/data/many.json: opts = --tier shapes,things --questions 24 --rounds 3 --turns qa
$(W)/data/many-words.json: seed = 27
$(W)/data/many-words.json: scenes_of = 60000
$(W)/data/many-words.json: opts = --tier words --invented 0.5 --questions 12 --rounds 2 --turns qa
$(W)/data/more-captions.json: seed = 28
$(W)/data/more-captions.json: scenes_of = 25000
$(W)/data/more-captions.json: opts = --tier shapes,things --turns caption

$(W)/data/boxes-%.json: | $(SPRITES)/sprites.tsv
	$(call boxes,boxes-$*,$(seed),$(scenes_of),$(opts))
$(W)/data/boxes-shapes.json: seed = 11
$(W)/data/boxes-shapes.json: scenes_of = 130000
$(W)/data/boxes-shapes.json: opts = --tier shapes --objects 4-6
$(W)/data/boxes-things.json: seed = 14
$(W)/data/boxes-things.json: scenes_of = 170000
$(W)/data/boxes-things.json: opts = --tier things --objects 3-5
$(W)/data/boxes-words.json: seed = 15
$(W)/data/boxes-words.json: scenes_of = 100000
$(W)/data/boxes-words.json: opts = --tier words --invented 0.5

# lines of text; few of printed words, so that the tokenizer does not learn them by heart
$(W)/data/text: | $(SPRITES)/sprites.tsv
	mkdir -p $(@D)
	for t in shapes things; do $(synth) -s 12 -n $(call part,30000) --tier $$t --format text; done >$@.part
	$(synth) -s 12 -n $(call part,2000) --tier words --invented 0.5 --format text >>$@.part
	mv $@.part $@

# --- tokenizers
files := $(addprefix $(here)llava/,chat_template.jinja preprocessor_config.json processor_config.json)
$(W)/tok/tokenizer.json: $(W)/data/text $(files)
	mkdir -p $(W)
	yes 'USER: What is it? ASSISTANT: It is' | head -n 3000 | cat - $(W)/data/text >$(W)/tok.txt
	$(train) tokenizer -q --vocab 1024 --lines -o $(@D) $(W)/tok.txt
	cp $(files) $(@D)
	rm $(W)/tok.txt
$(W)/clip-tok/tokenizer.json: $(W)/data/text
	$(train) tokenizer -q --vocab 1024 --style clip --lines -o $(@D) $(W)/data/text
	cp $(here)llava/preprocessor_config.json $(@D)

# --- the parts
$(W)/clip/model.safetensors: $(regions:%=$(W)/data/%.json) $(W)/clip-tok/tokenizer.json $(here)llava/clip.json
	$(train) regions -o $(@D) --config $(here)llava/clip.json --tokenizer $(W)/clip-tok -B $(CLIP_BATCH) \
	    --lr 0.001 --warmup 100 $(adam) $(call steps,$(CLIP_STEPS)) --images $(W)/data $(regions:%=$(W)/data/%.json)

$(W)/lm/model.safetensors: $(W)/data/text $(W)/tok/tokenizer.json $(here)llava/llama.json
	$(train) lm -o $(@D) --config $(here)llava/llama.json --tokenizer $(W)/tok --lines -B $(LM_BATCH) --context 256 \
	    --lr 0.0015 --warmup 40 $(adam) $(call steps,$(LM_STEPS)) $<

# --- LLaVA
$(W)/stage1/model.safetensors: $(W)/lm/model.safetensors $(W)/clip/model.safetensors $(W)/data/captions.json
	$(train) llava-align -o $(@D) -m $(W)/lm --vision-tower $(W)/clip --template llava_hf -B $(BATCH) \
	    --lr 0.002 $(call steps,$(ALIGN_STEPS)) --images $(W)/data $(W)/data/captions.json

# $(call instruct,STAGE BEFORE,UPDATES,DATA)
instruct = $(train) llava-instruct -o $(@D) -m $(W)/$1 --train '*' -B $(BATCH) --loss-norm token --template llava_hf \
	    --lr 0.001 --warmup 300 $(adam) --dtype f16 $(call steps,$2) --images $(W)/data $(3:%=$(W)/data/%.json)
$(W)/stage2/model.safetensors: $(W)/stage1/model.safetensors $(talks:%=$(W)/data/%.json)
	$(call instruct,stage1,$(TALK_STEPS),$(talks))

$(W)/llava/model.safetensors: $(W)/stage2/model.safetensors $(more:%=$(W)/data/%.json)
	$(call instruct,stage2,$(MORE_STEPS),$(more))

ship: $(W)/llava/model.safetensors
	mkdir -p $(SHIP)
	cp $(W)/llava/*.json $(W)/llava/*.jinja $(W)/llava/model.safetensors $(SHIP)
	sed 's/["\\]/\\&/g; s/.*/{ "chat_template": "&" }/' $(here)llava/chat_template.jinja >$(SHIP)/chat_template.json

# --- what it is worth
$(W)/scores.json: $(W)/llava/model.safetensors
	rm -f $@.part
	$(MAKE) -f $(here)../eval/eval.mk BIN=$(BIN) SPRITES=$(SPRITES) W=$(W)/eval MODEL=$(W)/llava JSON=$@.part
	sed 's|^{"model": "[^"]*"|{"model": "llava"|' $@.part >$@
	rm $@.part

logs := $(foreach s,clip lm stage1 stage2 llava,$s=$(W)/$s/log.jsonl)
samples = $1.samples=$$(($2 * $$(wc -l <$(W)/$1/log.jsonl)))
card: $(W)/scores.json
	mkdir -p $(SHIP)
	sh $(here)../eval/card $< $(here)llava/README.md.in config=$(W)/llava/config.json $(logs) \
	    megabytes=$$(wc -c <$(W)/llava/model.safetensors | awk '{ print $$1 / 1e6 }') \
	    $(call samples,clip,$(CLIP_BATCH)) $(call samples,lm,$(LM_BATCH)) \
	    $(call samples,stage1,$(BATCH)) $(call samples,stage2,$(BATCH)) $(call samples,llava,$(BATCH)) >$(W)/card
	mv $(W)/card $(SHIP)/README.md
