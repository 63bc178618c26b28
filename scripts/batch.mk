# batch.mk: caption a directory of pictures; only what is missing or changed is done.
#
#   make -j4 -f batch.mk DIR=pictures MODEL=llava-1.5-7b-hf
#
# See mm-batch(7).

DIR ?= .
OUT ?= $(DIR)/captions
PROMPT ?= USER: <image>\nDescribe this picture in one sentence. ASSISTANT:
TOKENS ?= 64
THREADS ?= 1

ifndef MODEL
$(error MODEL is not set: make -f batch.mk DIR=pictures MODEL=name)
endif

empty :=
space := $(empty) $(empty)
define newline


endef
quote = '$(subst ','\'',$1)'
kinds := jpg jpeg png webp gif bmp tif tiff JPG JPEG PNG
pictures := $(sort $(foreach k,$(kinds),$(wildcard $(DIR)/*.$k)))
names := $(notdir $(pictures))
texts := $(names:%=$(OUT)/%.txt)

.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: all clean force

all: $(OUT)/captions.tsv

# picture, tab, caption: a line each
$(OUT)/captions.tsv: $(texts) $(OUT)/names
	while IFS= read -r n; do printf '%s\t' "$$n"; tr '\n' ' ' <$(call quote,$(OUT))/"$$n.txt"; echo; \
	done <$(OUT)/names | sed 's/ *$$//' >$@.part || { rm -f $@.part; exit 1; }
	mv $@.part $@

$(OUT)/%.txt: $(OUT)/%.mmt $(OUT)/prompt
	mm-project -j $(THREADS) -m $(call quote,$(MODEL)) $< | mm-llm -j $(THREADS) -m $(call quote,$(MODEL)) \
	    -p $(call quote,$(PROMPT)) -t 0 -n $(TOKENS) >$@.part || { rm -f $@.part; exit 1; }
	mv $@.part $@

$(OUT)/%.mmt: $(DIR)/% $(OUT)/model
	mm-encode -j $(THREADS) -m $(call quote,$(MODEL)) $< >$@.part || { rm -f $@.part; exit 1; }
	mv $@.part $@

# Settings that results depend on: the file changes only when the setting does.
$(shell mkdir -p $(call quote,$(OUT)))
$(OUT)/model: setting = $(MODEL)
$(OUT)/prompt: setting = $(MODEL) $(TOKENS) $(PROMPT)
$(OUT)/names: setting = $(subst $(space),$(newline),$(names))
$(OUT)/model $(OUT)/prompt $(OUT)/names: force
	$(file >$@.new,$(setting))
	@cmp -s $@.new $@ && rm -f $@.new || mv $@.new $@

clean:
	rm -rf $(OUT)
