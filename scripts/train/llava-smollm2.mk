# llava-smollm2.mk: the eyes of the small LLaVA before SmolLM2-135M-Instruct.
#
#   make -f scripts/train/llava-smollm2.mk            everything, into build/train/llava-smollm2
#   make -f scripts/train/llava-smollm2.mk ship       copies it to lib/models/small/llava-smollm2
#   make -f scripts/train/llava-smollm2.mk card       measures it, writes its README.md there
#   make -f scripts/train/llava-smollm2.mk SCALE=100  a hundredth of the work: does it run?
#
# The vision tower of TOWER and the language model LM (a GGUF, brought by mm-get) stay as
# they are: features are computed once, and a projector (stage 1: captions) and adapters
# of rank 16 beside every linear layer (stage 2: talks) are all that is trained and ships.
#
# Talks are of three kinds.  Without a system text, as mm-vqa asks, answers are as short as
# the small LLaVA's, and sentences where the question wants one.  Below SmolLM2's own
# system text, which mm-chat leaves in place, every answer is a whole sentence.
#
# A position of the language model costs about 0.45 GFLOP forward and backward; many
# questions about one picture share its 64.  Interrupt it at will: the same command goes
# on from the last checkpoint, which is never older than ten minutes.  Another TOWER, or one
# that has changed, needs another W.

BIN ?= build/release/bin
W ?= build/train/llava-smollm2
TOWER ?= build/train/llava/llava
LM ?= smollm2
SPRITES ?= build/sprites
TIERS ?= shapes,things,words
SCALE ?= 1
J ?= $(shell nproc)
SHIP ?= lib/models/small/llava-smollm2
# what make eval said of the small LLaVA, to stand beside
BESIDE ?= $(wildcard $(dir $(TOWER))scores.json)

# updates of the stages, samples of one, scenes: each is seen once
ALIGN_STEPS ?= 400
TALK_STEPS ?= 1100
ALIGN_BATCH ?= 16
TALK_BATCH ?= 8

here := $(dir $(lastword $(MAKEFILE_LIST)))
train := $(BIN)/mm-train
synth := $(BIN)/mm-synth -q -j $(J) --tier $(TIERS) $(if $(findstring things,$(TIERS)),--sprites $(SPRITES) --hold-artist tuxpaint)
part = $(shell expr \( $1 + $(SCALE) - 1 \) / $(SCALE))
steps = --steps $(call part,$1) --resume -j $(J)
model := $(W)/model

.DELETE_ON_ERROR:
.PHONY: all ship card
all: $(model)/adapter_config.json

# --- the world
world := $(if $(findstring things,$(TIERS)),$(SPRITES)/sprites.tsv)
$(SPRITES)/sprites.tsv:
	mkdir -p $(@D)
	PATH=$(abspath $(BIN)):$$PATH sh $(here)../sprites $(@D)

$(W)/data/%.json: | $(world)
	rm -rf $(W)/data/$*
	mkdir -p $(W)/data
	$(synth) -s $(seed) -n $(call part,$(scenes)) $(opts) --format llava -o $(W)/data/$*
	sed -i '$(edit)' $(W)/data/$*/llava.json
	mv $(W)/data/$*/llava.json $@

no_system = s|"conversations": *\[|&{"from":"system","value":""},|
no_request = s/ \(Answer in a\|Answer in a whole\|Use a whole\) sentence\.//g
$(W)/data/captions.json: seed = 31
$(W)/data/captions.json: scenes = 6400
$(W)/data/captions.json: opts = --invented 0.4 --turns caption
$(W)/data/short.json: seed = 32
$(W)/data/short.json: scenes = 5800
$(W)/data/short.json: opts = --invented 0.4 --questions 16 --turns qa,caption
$(W)/data/short.json: edit = $(no_system)
$(W)/data/asked.json: seed = 33
$(W)/data/asked.json: scenes = 1000
$(W)/data/asked.json: opts = --invented 0.4 --turns qa,sentence,reason
$(W)/data/asked.json: edit = $(no_system)
$(W)/data/chat.json: seed = 34
$(W)/data/chat.json: scenes = 2000
$(W)/data/chat.json: opts = --invented 0.4 --turns sentence,detail
$(W)/data/chat.json: edit = $(no_request)
talks := $(foreach t,short asked chat,$(W)/data/$t.json)

# what the frozen tower sees in the pictures of its folders
$(W)/data/%.mmt:
	find $(foreach d,$(of),$(W)/data/$d/images) -name '*.png' | LC_ALL=C sort | $(BIN)/mm-encode -q -m $(TOWER) --layer -2 -B 32 -j $(J) --files-from - >$@
$(W)/data/captions.mmt: of = captions
$(W)/data/captions.mmt: $(W)/data/captions.json
$(W)/data/talks.mmt: of = short asked chat
$(W)/data/talks.mmt: $(talks)

# --- the stages
$(W)/stage1/model.safetensors: $(W)/data/captions.mmt
	$(BIN)/mm-llm -q -m $(LM) -n 0 -p x >/dev/null 2>&1 || sh $(here)../mm-get $(LM)
	$(train) llava-align -o $(@D) -m $(LM) --vision-tower $(abspath $(TOWER)) --features $< -B $(ALIGN_BATCH) \
	    --lr 0.002 --warmup 0.1 $(call steps,$(ALIGN_STEPS)) $(W)/data/captions.json

$(W)/stage2/model.safetensors: $(W)/stage1/model.safetensors $(W)/data/talks.mmt
	$(train) llava-instruct -o $(@D) -m $(LM) --projector $(W)/stage1 --features $(W)/data/talks.mmt --lora 16 \
	    -B $(TALK_BATCH) --loss-norm token --lr 0.0005 --dtype f16 $(call steps,$(TALK_STEPS)) $(talks)

# one directory: the projector with its config.json, the adapter that names its base
$(model)/adapter_config.json: $(W)/stage2/model.safetensors
	mkdir -p $(@D)
	cp $(W)/stage2/config.json $(W)/stage2/model.safetensors $(W)/stage2/adapter/adapter_model.safetensors $(@D)
	cp $(W)/stage2/adapter/adapter_config.json $@

# beside the model whose tower it shares
ship: $(model)/adapter_config.json
	mkdir -p $(SHIP)
	cp $(model)/* $(SHIP)
	sed -i 's|"mm_vision_tower": *"[^"]*"|"mm_vision_tower": "../llava"|' $(SHIP)/config.json

# --- what it is worth
$(W)/scores.json: $(model)/adapter_config.json $(BESIDE)
	rm -f $@.part
	$(MAKE) -f $(here)../eval/eval.mk BIN=$(BIN) SPRITES=$(SPRITES) W=$(W)/eval MODEL=$(model) JSON=$@.part
	{ cat $(BESIDE) /dev/null; sed 's|^{"model": "[^"]*"|{"model": "llava-smollm2"|' $@.part; } >$@
	rm $@.part

# seconds from the start to an answer, files in the cache
answer = sh -c 'PATH=$(abspath $(BIN)):$$PATH; ask() { sh $(here)../mm-vqa -m $1 $(here)../demo.png "What color is the square?" >&2; }; \
	ask; s=$$(date +%s.%N); ask; echo "$$(date +%s.%N) $$s" | awk "{ print \$$1 - \$$2 }"'
card: $(W)/scores.json
	mkdir -p $(SHIP)
	sh $(here)../eval/card $< $(here)llava-smollm2/README.md.in adapter=$(model)/adapter_config.json \
	    stage1=$(W)/stage1/log.jsonl stage2=$(W)/stage2/log.jsonl \
	    stage1.samples=$$(($(ALIGN_BATCH) * $$(wc -l <$(W)/stage1/log.jsonl))) \
	    stage2.samples=$$(($(TALK_BATCH) * $$(wc -l <$(W)/stage2/log.jsonl))) \
	    megabytes=$$(cat $(model)/* | wc -c | awk '{ print $$1 / 1e6 }') \
	    seconds=$$($(call answer,$(model))) small.seconds=$$($(call answer,$(TOWER))) >$(W)/card
	mv $(W)/card $(SHIP)/README.md
