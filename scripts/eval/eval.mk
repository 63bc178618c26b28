# eval.mk: what a LLaVA sees of the synthetic world, measured on scenes it was not trained
# on: captions, questions, printed words; also without the picture, and with another one.
#
#   make eval [MODEL=llava] [N=2000] [JSON=FILE]
#
# MODEL is a directory or a name, several with spaces.  Of each tier N scenes of `test`, one in
# five with something held out of training, and N / 4 of the held-back artist; scenes of
# `val` fill in the printed words that those of `test` do not show.  What is made or answered
# lies in build/eval, so an interrupted run goes on where it was; answers of a directory
# whose files changed are made anew.  The last table says what is asked of the shipped
# model and whether it is reached; JSON gets a line for each model.

MODEL ?= llava
N ?= 2000
JSON ?=
BIN ?= build/release/bin
W ?= build/eval
SPRITES ?= build/sprites
BATCH ?= 32
TOKENS ?= 128
BLIND_TOKENS ?= 24
FILL ?= 3000
FACTS ?= 2000
CAPTION ?= Describe this picture in one sentence.

here := $(dir $(lastword $(MAKEFILE_LIST)))
export PATH := $(abspath $(BIN)):$(PATH)
world := $(W)/world-$(N)
synth := mm-synth -q --format vqa
of_things := --tier things --sprites $(SPRITES) --hold-artist tuxpaint
opts_shapes := --split test -s 1 -n $(N) --tier shapes
opts_things := --split test -s 1 -n $(N) $(of_things)
opts_words := --split test -s 1 -n $(N) --tier words
opts_artist := --split test -s 2 -n $(shell expr \( $(N) + 3 \) / 4) $(of_things) --held artist

# Things need the pictures of two Debian packages; without them the rest is measured.
things := $(shell [ -e $(SPRITES)/sprites.tsv ] || sh $(here)../sprites $(SPRITES) >&2; \
	[ ! -e $(SPRITES)/sprites.tsv ] || echo things artist)
$(if $(things),,$(warning things are left out: there are no pictures, see scripts/sprites))
sets := shapes $(things) words fill
tiers := $(filter-out artist fill,$(sets))

say = @echo "  EVAL $1"

.DELETE_ON_ERROR:
.PRECIOUS: $(world)/%/scenes.jsonl $(world)/%/prompts.jsonl
.PHONY: all
# one model after the other: each takes all cores
all:
	@for m in $(MODEL); do $(MAKE) --no-print-directory -f $(here)eval.mk table MODEL="$$m" || exit; done

$(world)/%/scenes.jsonl:
	$(call say,scenes $*)
	@mkdir -p $(world) && rm -rf $(@D)
	@$(synth) $(opts_$*) -o $(@D).new
	@mv $(@D).new $(@D)

$(world)/fill/scenes.jsonl: $(world)/words/scenes.jsonl $(here)fill.awk
	$(call say,scenes fill)
	@rm -rf $(@D)
	@$(synth) --split val -s 1 -n $(FILL) --tier words -o $(@D).new
	@mkdir $(@D) && touch $(@D)/questions.jsonl
	@awk -v dir=$(@D) -v most=$(shell expr $(N) / 1000 + 1) -f $(here)fill.awk $< $(@D).new/scenes.jsonl
	@mv $(@D).new/images $(@D) && cd $(@D) && xargs rm <left && rm -r left ../fill.new

# what can be said of such scenes without a model
facts = $(tiers:%=$(W)/facts/%-$1/scenes.jsonl)
$(W)/facts.json: $(here)facts.awk $(wildcard $(SPRITES)/sprites.tsv)
	$(call say,facts)
	@rm -rf $(W)/facts && mkdir -p $(W)/facts
	@$(foreach s,test train,$(foreach t,$(tiers),$(synth) $(opts_$t) --split $s -n $(FACTS) -o $(W)/facts/$t-$s &&)) \
		awk -f $(here)facts.awk what=test $(call facts,test) what=train $(call facts,train) >$@.part
	@rm -r $(W)/facts && mv $@.part $@

$(world)/%/prompts.jsonl: $(world)/%/scenes.jsonl $(here)ask.awk
	@awk -v dir=$(@D) -v caption='$(if $(filter fill,$*),,$(CAPTION))' -f $(here)ask.awk $(@D)/questions.jsonl

# --- one model
ifeq ($(words $(MODEL)),1)
path := $(abspath $(firstword $(wildcard $(MODEL)/config.json $(MODEL)/adapter_config.json)))
model := $(if $(path),$(patsubst %/,%,$(dir $(path))),$(MODEL))
files := $(wildcard $(if $(path),$(model),lib/models/small/$(MODEL))/*.safetensors)
out := $(W)/$(notdir $(model))-$(N)
endif
llm := mm-llm -q -m $(model) --template auto --system '' -B $(BATCH) --json
pictures = find images -name '*.png' | LC_ALL=C sort | mm-encode -q -m $(model) -B $(BATCH) --files-from - | \
	mm-project -q -m $(model)

# its own questions and those of the scene before go together: a picture is read once
$(out)/%.seen.jsonl: $(world)/%/prompts.jsonl $(files)
	$(call say,$(MODEL) $*)
	@mkdir -p $(@D)
	@cd $(<D) && $(pictures) | $(llm) -n $(TOKENS) --prompts prompts.jsonl >$(abspath $@).part
	@awk 'NR == FNR { id[NR] = $$0; next } { sub(/^{/, "{" id[FNR] ", "); print }' $(<D)/ids $@.part >$@
	@rm $@.part

# without a picture the same text has the same answer
$(out)/%.blind.jsonl: $(world)/%/prompts.jsonl $(files)
	$(call say,$(MODEL) $* without the picture)
	@mkdir -p $(@D)
	@$(llm) -n $(TOKENS) -p '$(CAPTION)' >$@.part
	@$(llm) -n $(BLIND_TOKENS) --prompts $(<D)/blind.jsonl >>$@.part
	@awk 'NR == FNR { said[NR] = $$0; next } { n = $$1; sub(/^[0-9]+ /, ""); print "{" $$0 ", " substr(said[n], 2) }' \
		$@.part $(<D)/blind-ids >$@
	@rm $@.part

answers := $(foreach c,seen blind,$(sets:%=$(out)/%.$c.jsonl))
score := mm-eval world --bootstrap 1000 $(foreach s,$(sets),--ref $(world)/$s/scenes.jsonl) \
	--pred $(out)/seen.jsonl --blind $(out)/blind.jsonl --wrong $(out)/wrong.jsonl

.PHONY: table
table: $(answers) $(W)/facts.json
	@for c in seen blind wrong; do cat $(answers) | grep "^{\"picture\": \"$$c\"" >$(out)/$$c.jsonl; done
	@printf '\n%s: $(N) test scenes each of %s\n' '$(MODEL)' '$(tiers)'
	@$(score) --table >$(out)/table.txt.part
	@mv $(out)/table.txt.part $(out)/table.txt
	@cat $(out)/table.txt
	@{ printf '{"model": "$(MODEL)", "scenes": $(N), "world": ' && tr '\n' ',' <$(W)/facts.json && \
		$(score) --json | sed 's/^{/ /'; } >$(out)/scores.json
	@printf '\n%-62s %7s %-15s %s\n' 'asked of the shipped model' value 95% asked
	@awk -f $(here)flat.awk $(out)/scores.json | awk -f $(here)verdict.awk
	$(if $(JSON),@cat $(out)/scores.json >>$(JSON))
