# eval.mk: what a LLaVA sees of the synthetic world, measured on scenes it was not trained
# on: captions, questions, printed words; also without the picture, and with another one.
#
#   make eval [MODEL=llava] [N=2000] [JSON=FILE]
#
# MODEL is a directory or a name, several with spaces.  Of each tier N scenes of `test`, one in
# five with something held out of training, and N / 4 of the held-back artist.  What is
# made or answered lies in build/eval, so an interrupted run goes on where it was; answers of
# a directory whose files changed are made anew.

MODEL ?= llava
N ?= 2000
JSON ?=
BIN ?= build/release/bin
W ?= build/eval
SPRITES ?= build/sprites
BATCH ?= 32
TOKENS ?= 128
CAPTION ?= Describe this picture in one sentence.

here := $(dir $(lastword $(MAKEFILE_LIST)))
export PATH := $(abspath $(BIN)):$(PATH)
world := $(W)/world-$(N)
synth := mm-synth -q --split test --format vqa

# Things need the pictures of two Debian packages; without them the rest is measured.
things := $(shell [ -e $(SPRITES)/sprites.tsv ] || sh $(here)../sprites $(SPRITES) >&2; \
	[ ! -e $(SPRITES)/sprites.tsv ] || echo things artist)
$(if $(things),,$(warning things are left out: there are no pictures, see scripts/sprites))
sets := shapes $(things) words

say = @echo "  EVAL $1"

.DELETE_ON_ERROR:
.PRECIOUS: $(world)/%/scenes.jsonl $(world)/%/prompts.jsonl
.PHONY: all
# one model after the other: each takes all cores
all:
	@for m in $(MODEL); do $(MAKE) --no-print-directory -f $(here)eval.mk table MODEL="$$m" || exit; done

$(world)/shapes/scenes.jsonl: opts := -s 1 -n $(N) --tier shapes
$(world)/words/scenes.jsonl: opts := -s 1 -n $(N) --tier words
$(world)/things/scenes.jsonl: opts := -s 1 -n $(N) --tier things --sprites $(SPRITES) --hold-artist tuxpaint
$(world)/artist/scenes.jsonl: opts := -s 2 -n $(shell expr \( $(N) + 3 \) / 4) --tier things --sprites $(SPRITES) \
	--hold-artist tuxpaint --held artist
$(world)/%/scenes.jsonl:
	$(call say,scenes $*)
	@mkdir -p $(world) && rm -rf $(@D)
	@$(synth) $(opts) -o $(@D).new
	@mv $(@D).new $(@D)

$(world)/%/prompts.jsonl: $(world)/%/scenes.jsonl $(here)ask.awk
	@awk -v dir=$(@D) -v caption='$(CAPTION)' -f $(here)ask.awk $(@D)/questions.jsonl

# --- one model
ifeq ($(words $(MODEL)),1)
path := $(abspath $(firstword $(wildcard $(MODEL)/config.json $(MODEL)/adapter_config.json)))
model := $(if $(path),$(patsubst %/,%,$(dir $(path))),$(MODEL))
files := $(wildcard $(if $(path),$(model),lib/models/small/$(MODEL))/*.safetensors)
out := $(W)/$(notdir $(model))-$(N)
endif
llm := mm-llm -q -m $(model) --template auto --system '' -B $(BATCH) -n $(TOKENS) --json
pictures = find images -name '*.png' | LC_ALL=C sort | mm-encode -q -m $(model) -B $(BATCH) --files-from - | \
	mm-project -q -m $(model)

# $(call name,IDS): the answers, each with what was asked
define name
@awk 'NR == FNR { id[NR] = $$0; next } { sub(/^{/, "{" id[FNR] ", "); print }' $1 $@.part >$@
@rm $@.part
endef

# its own questions and those of the scene before go together: a picture is read once
$(out)/%.seen.jsonl: $(world)/%/prompts.jsonl $(files)
	$(call say,$(MODEL) $*)
	@mkdir -p $(@D)
	@cd $(<D) && $(pictures) | $(llm) --prompts prompts.jsonl >$(abspath $@).part
	$(call name,$(<D)/ids)

$(out)/%.blind.jsonl: $(world)/%/prompts.jsonl $(files)
	$(call say,$(MODEL) $* without the picture)
	@mkdir -p $(@D)
	@$(llm) --prompts $(<D)/blind.jsonl >$@.part
	$(call name,$(<D)/blind-ids)

answers := $(foreach c,seen blind,$(sets:%=$(out)/%.$c.jsonl))
score := mm-eval world --bootstrap 1000 $(foreach s,$(sets),--ref $(world)/$s/scenes.jsonl) \
	--pred $(out)/seen.jsonl --blind $(out)/blind.jsonl --wrong $(out)/wrong.jsonl
line := sed 's|^{|{"model": "$(MODEL)", |'

.PHONY: table
table: $(answers)
	@for c in seen blind wrong; do cat $^ | grep "^{\"picture\": \"$$c\"" >$(out)/$$c.jsonl; done
	@printf '\n%s: $(N) test scenes each of %s\n' '$(MODEL)' '$(filter-out artist,$(sets))'
	@$(score) --table >$(out)/table.txt.part
	@mv $(out)/table.txt.part $(out)/table.txt
	@cat $(out)/table.txt
ifneq ($(JSON),)
	@$(score) --json >$(out)/scores.json
	@$(line) $(out)/scores.json >>$(JSON)
endif
