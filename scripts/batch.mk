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
to = $(call quote,$@)
part = $(call quote,$@.part)
kinds := jpg jpeg png webp gif bmp tif tiff JPG JPEG PNG
# The pictures whose names make can hold; the others are named on standard error.
define list
for f in $(kinds:%=*.%); do
    case $$f in
    *[][[:space:]:\;\#%=\|\\*\?\(~]*) [ ! -e "./$$f" ] || printf 'batch.mk: %s: left out, make cannot hold the name\n' "$$f" >&2 ;;
    *) [ ! -e "./$$f" ] || printf '%s\n' "$$f" ;;
    esac
done
endef
names := $(sort $(shell cd $(call quote,$(DIR)) && $(subst $(newline), ,$(list))))
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
	mm-project -j $(THREADS) -m $(call quote,$(MODEL)) $(call quote,$<) | mm-llm -j $(THREADS) -m $(call quote,$(MODEL)) \
	    -p $(call quote,$(PROMPT)) -t 0 -n $(TOKENS) >$(part) || { rm -f $(part); exit 1; }
	mv $(part) $(to)

$(OUT)/%.mmt: $(DIR)/% $(OUT)/model
	mm-encode -j $(THREADS) -m $(call quote,$(MODEL)) $(call quote,$<) >$(part) || { rm -f $(part); exit 1; }
	mv $(part) $(to)

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
