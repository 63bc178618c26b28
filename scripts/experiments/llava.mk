# llava.mk: which instruction data LLaVA needs, and whether it needs two stages, on a small scale.
#
#   make -f scripts/experiments/llava.mk            tables into scripts/experiments/results/
#   make -f scripts/experiments/llava.mk SCALE=20   a twentieth of the data: does it run?
#
# The rows are those of the paper's table: all instruction data, details and reasons, talks
# with a little of both, talks alone, none; and all data without stage 1.  As in the paper the
# tower stays frozen and each run sees its data once; stage 2 trains projector and language
# model.  Three seeds; tower and language model are those of scripts/train/llava.mk before
# they meet.  Scores of test scenes, in per cent: short answers right (talks), objects right
# in descriptions (details), answers right behind a reason (reasons).

BIN ?= build/release/bin
RECIPE ?= build/train/llava
TOWER ?= $(RECIPE)/clip
LM ?= $(RECIPE)/lm
W ?= build/experiments/llava
SCALE ?= 1
SEEDS ?= 1 2 3
N ?= 500
J ?= $(shell nproc)

export PATH := $(abspath $(BIN)):$(PATH)
here := $(dir $(lastword $(MAKEFILE_LIST)))
results := $(here)results
runs := full details-reasons talks-and-little talks none one-stage
part = $(shell expr \( $1 + $(SCALE) - 1 \) / $(SCALE))
train := mm-train -q -j $(J)
# as in the paper one part in five talks and half reasons; the world is simple, the sizes a tenth
types := talks details reasons
talks := qa 5800
details := detail 2300
reasons := reason 7700

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all
all: $(results)/llava-data.txt

# --- data: $(W)/TYPE.jsonl, pictures in $(W)/TYPE/images; reasons are asked of some scenes only
lines = sed -e '1d' -e '$$d' -e 's/,$$//' -e 's|"image": *"images/|"image":"$1/images/|' $(W)/$1/llava.json | grep -v '"conversations":\[\]'
$(W)/%.jsonl:
	@mkdir -p $(@D)
	mm-synth -q -s 31 -n $(call part,$(word 2,$($*))) --turns $(word 1,$($*)) --format llava -o $(W)/$*
	$(call lines,$*) >$@.part
	mv $@.part $@
$(W)/captions.jsonl:
	@mkdir -p $(@D)
	mm-synth -q -s 32 -n $(call part,6400) --turns caption --format llava -o $(W)/captions
	$(call lines,captions) >$@.part
	mv $@.part $@

$(W)/few-details.jsonl: $(W)/details.jsonl
	awk 'NR % 20 == 1' $< >$@
$(W)/few-reasons.jsonl: $(W)/reasons.jsonl
	awk 'NR % 10 == 1' $< >$@

# --- training: $(W)/RUN-SEED
run = $(firstword $(subst @, ,$*))
seed = $(lastword $(subst @, ,$*))
options = -s $(seed) -B 16 --template llava_hf --images $(W) --weight-decay 0.05 --betas 0.9,0.98 --dtype f16 --resume
$(W)/stage1@%/model.safetensors: $(W)/captions.jsonl $(LM)/model.safetensors $(TOWER)/model.safetensors
	$(train) llava-align -m $(LM) --vision-tower $(TOWER) -o $(@D) $(options) --lr 0.002 $<

of_full := talks details reasons
of_details-reasons := details reasons
of_talks-and-little := talks few-details few-reasons
of_talks := talks
of_one-stage := $(of_full)
data = $(addprefix $(W)/,$(of_$1:%=%.jsonl))
define stage2
$(W)/$1@%/model.safetensors: $(W)/stage1@%/model.safetensors $(call data,$1)
	$(train) llava-instruct -m $(W)/stage1@$$* -o $$(@D) $$(options) --lr 0.0005 $(call data,$1)
endef
$(foreach r,$(filter-out none one-stage,$(runs)),$(eval $(call stage2,$r)))
$(W)/none@%/model.safetensors: $(W)/stage1@%/model.safetensors
	@mkdir -p $(@D)
	cp $(W)/stage1@$*/*.json $(W)/stage1@$*/*.jinja $< $(@D)
$(W)/one-stage@%/model.safetensors: $(call data,one-stage) $(LM)/model.safetensors $(TOWER)/model.safetensors
	$(train) llava-instruct -m $(LM) --vision-tower $(TOWER) -o $(@D) $(options) --lr 0.0005 $(call data,one-stage)

# --- the test: the first question of each picture, and the tower's output
$(W)/test/%.jsonl:
	@mkdir -p $(W)/test
	mm-synth -q -s 33 -n $(N) --split test --held none --turns $(word 1,$($*)) --format llava -o $(W)/test/$*
	$(call lines,test/$*) >$@.part
	mv $@.part $@
$(W)/test/%.mmt: $(W)/test/%.jsonl
	cd $(W) && awk -F'"' '{ print $$8 }' test/$*.jsonl | mm-encode -q -m $(abspath $(TOWER)) -B 16 --files-from - >$(abspath $@).part
	mv $@.part $@

# RUN@SEED/TYPE.score: per cent right
define score
$(W)/%/$1.score: $(W)/%/model.safetensors $(W)/test/$1.jsonl $(W)/test/$1.mmt $(here)score.awk
	awk -F'"' '{ printf "{\"source\": %d, \"prompt\": \"%s\"}\n", NR, $$$$18 }' $(W)/test/$1.jsonl >$$@.ask
	mm-project -q -m $$(@D) $(W)/test/$1.mmt | mm-llm -q -m $$(@D) --template auto --system '' -B 32 -n 192 \
	    --json --prompts $$@.ask >$$@.said
	awk -v type=$1 -f $(here)score.awk $(W)/test/$1.jsonl $$@.said >$$@.part
	mv $$@.part $$@
endef
$(foreach t,$(types),$(eval $(call score,$t)))

$(results)/llava-data.txt: $(foreach r,$(runs),$(foreach s,$(SEEDS),$(types:%=$(W)/$r@$s/%.score))) $(here)table.awk
	@mkdir -p $(@D)
	cd $(W) && awk -v runs='$(runs)' -v seeds='$(SEEDS)' -v types='$(types)' -f $(abspath $(here))/table.awk >$(abspath $@).part </dev/null
	mv $@.part $@
	@cat $@
