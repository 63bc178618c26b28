# mm: multimodal language models as Unix pipes.  See README.md and man/mm.7.
#
#   make [SAN=address,undefined] [MPI=1]   programs in build/CONFIG/bin, linked from build/bin
#   make check | bench [JSON=FILE] | bench-full | fuzz | demo | install | uninstall
#   make eval [MODEL=llava] [N=2000] [JSON=FILE]   what a model sees of mm-synth's test scenes
#
# CC CFLAGS CPPFLAGS LDFLAGS PREFIX DESTDIR belong to the user.

CC ?= cc
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
BINDIR = $(DESTDIR)$(PREFIX)/bin
MANDIR = $(DESTDIR)$(PREFIX)/share/man
LIBDIR = $(DESTDIR)$(PREFIX)/libexec/mm
VERSION := 0.1.0

SAN ?=
CONFIG ?= $(if $(SAN),san,$(if $(filter 1,$(MPI)),mpi,release))
B := build/$(CONFIG)

PKGS := zlib libpng libjpeg libwebp libwebpdemux libwebpdemux sndfile libavformat libavcodec libswscale libswresample \
	libavutil jansson libpcre2-8 libisal freetype2
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS))
PKG_LIBS := $(shell pkg-config --libs $(PKGS)) -lopenblas -lunistring -lstemmer -lpthread -lm

CURL_LIBS := $(shell pkg-config --libs libcurl)

MM_CPPFLAGS := -Ilib -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -D_FILE_OFFSET_BITS=64 \
	-DMM_VERSION='"$(VERSION)"' -DMM_PREFIX='"$(PREFIX)"'
MM_CFLAGS := -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wmissing-prototypes -Wvla \
	-ffp-contract=off -pthread
ifneq ($(SAN),)
MM_CFLAGS += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
MM_LDFLAGS += -fsanitize=$(SAN)
# with a check at every load of its unrolled loops it takes minutes at -O2
$B/lib/kernel/unpack_avx512.o $B/lib/kernel/pairs_avx512.o: override CFLAGS += -O1
endif
ifeq ($(COVERAGE),1)
MM_CFLAGS += --coverage
MM_LDFLAGS += --coverage
endif

# MPI=1: mm-train runs in several processes (OpenMPI); another configuration, as every
# program is then linked with it.
ifeq ($(MPI),1)
MM_CPPFLAGS += -DMM_MPI $(shell pkg-config --cflags ompi-c)
PKG_LIBS += $(shell pkg-config --libs ompi-c)
endif

# ISA flags are given to the files that need them alone.
ISA_avx2 := -mavx2 -mfma -mf16c
ISA_avxvnni := $(ISA_avx2) -mavxvnni
ISA_avx512 := $(ISA_avx2) -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vbmi -mavx512vnni \
	-mavx512bf16
isa = $(if $(filter %_avx2.c,$1),$(ISA_avx2))$(if $(filter %_avxvnni.c,$1),$(ISA_avxvnni))$(if $(filter %_avx512.c,$1),$(ISA_avx512))

LIB_SRC := $(wildcard lib/*/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$B/%.o)
LIBMM := $B/libmm.a
CMD_SRC := $(wildcard cmd/*.c)
PROGS := $(CMD_SRC:cmd/%.c=%)
BINS := $(PROGS:%=$B/bin/%)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
KERN_SRC := $(wildcard tests/kernel/test_*.c)
UNIT_BINS := $(UNIT_SRC:tests/unit/%.c=$B/tests/unit/%) $(KERN_SRC:tests/kernel/%.c=$B/tests/kernel/%)
BENCH_SRC := $(wildcard tests/bench/*.c)
BENCH_BINS := $(BENCH_SRC:tests/bench/%.c=$B/tests/bench/%)

# V=1 shows the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@echo "  $1 $2")

.PHONY: FORCE all check check-fast bench bench-full eval fuzz demo install uninstall clean
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BINS) $(if $(SAN),,build/bin)

build/bin: | $B/bin
	ln -sfn $(CONFIG)/bin $@

$B/bin:
	mkdir -p $@

# What is compiled in: another PREFIX or VERSION makes their users anew.
$B/config: FORCE
	@mkdir -p $(@D)
	@echo '$(PREFIX) $(VERSION)' | cmp -s - $@ || echo '$(PREFIX) $(VERSION)' >$@

$B/lib/base/cmd.o $B/cmd/mm-instruct.o: $B/config

# Loops over floats are vectors even where their length is not known; errno of sqrt is not read.
$B/lib/tensor/%.o $B/lib/train/%.o: MM_CFLAGS += -ftree-vectorize -fvect-cost-model=dynamic \
	-fno-math-errno

$B/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(MM_CPPFLAGS) $(PKG_CFLAGS) $(CPPFLAGS) $(MM_CFLAGS) $(call isa,$<) $(CFLAGS) -MMD -MP -c -o $@ $<

$B/cmd/%.o: cmd/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(MM_CPPFLAGS) $(PKG_CFLAGS) $(CPPFLAGS) $(MM_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$B/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(MM_CPPFLAGS) -Itests $(PKG_CFLAGS) $(CPPFLAGS) $(MM_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(LIBMM): $(LIB_OBJ)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)ar rcs $@ $^

$B/bin/%: $B/cmd/%.o $(LIBMM)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(MM_LDFLAGS) $(LDFLAGS) -o $@ $< $(LIBMM) $(PKG_LIBS)

$B/tests/unit/%: $B/tests/unit/%.o $(LIBMM)
	$(call say,LD,$@)
	$(Q)$(CC) $(MM_LDFLAGS) $(LDFLAGS) -o $@ $< $(LIBMM) -lcmocka $(PKG_LIBS)

$B/tests/kernel/%: $B/tests/kernel/%.o $(LIBMM)
	$(call say,LD,$@)
	$(Q)$(CC) $(MM_LDFLAGS) $(LDFLAGS) -o $@ $< $(LIBMM) -lcmocka $(PKG_LIBS)

$B/tests/bench/%: $B/tests/bench/%.o $(LIBMM)
	$(call say,LD,$@)
	$(Q)$(CC) $(MM_LDFLAGS) $(LDFLAGS) -o $@ $< $(LIBMM) $(PKG_LIBS)

# Only what speaks to endpoints is linked with curl: its libraries cost the others start time.
$B/bin/mm-instruct $B/bin/mm-eval $B/tests/unit/test_remote: PKG_LIBS += $(CURL_LIBS)

# Only what plays instruments is linked with a synthesizer of soundfonts, likewise.
$B/bin/mm-synth $B/tests/unit/test_synth $B/tests/unit/test_notes: PKG_LIBS += -lfluidsynth -lglib-2.0
$B/lib/synth/note.o: MM_CPPFLAGS += $(shell pkg-config --cflags-only-I glib-2.0)

# These make allocations of the library fail.
comma := ,
$B/tests/unit/test_nomem $B/tests/unit/test_nomem_model: MM_LDFLAGS += $(patsubst %,-Wl$(comma)--wrap=%, \
	malloc calloc realloc aligned_alloc strdup strndup fdopen mmap)

unit: $(UNIT_BINS)

# tests/run does the counting: release, then under the sanitizers.
check: all unit
	sh tests/run release
	$(MAKE) -j$(shell nproc) SAN=address,undefined all unit
	sh tests/run san

check-fast: all unit
	sh tests/run release

# JSON=FILE: the rows as JSON lines too
PYTHON ?= /usr/bin/python3
bench bench-full: all $(BENCH_BINS)
	$(PYTHON) tests/bench/run $(if $(filter bench-full,$@),--full) $(if $(JSON),--json '$(JSON)')
	$(if $(filter bench-full,$@),sh tests/bench/smoke_7b.sh)

eval: all
	@$(MAKE) --no-print-directory -f scripts/eval/eval.mk BIN=$B/bin

fuzz:
	sh tests/fuzz/run

demo: all
	sh scripts/demo.sh

SCRIPTS := $(wildcard scripts/mm-*)
MODELDIR = $(DESTDIR)$(PREFIX)/share/mm/models
MODELS := $(patsubst lib/models/small/%,%,$(wildcard lib/models/small/*))

install: all
	install -d $(BINDIR) $(LIBDIR) $(MANDIR)/man1 $(MANDIR)/man5 $(MANDIR)/man7
	install -m 755 $(BINS) $(SCRIPTS) $(BINDIR)
	install -m 644 $(wildcard scripts/*.mk) scripts/sprites.awk $(LIBDIR)
	install -m 755 scripts/sprites $(LIBDIR)
	install -d $(LIBDIR)/instruct
	install -m 644 $(wildcard scripts/instruct/*.txt) $(LIBDIR)/instruct
	for s in 1 5 7; do for p in man/*.$$s; do [ ! -e "$$p" ] || install -m 644 "$$p" $(MANDIR)/man$$s; done; done
	for m in $(MODELS); do install -d $(MODELDIR)/$$m && install -m 644 lib/models/small/$$m/* $(MODELDIR)/$$m || exit 1; done

uninstall:
	rm -f $(addprefix $(BINDIR)/,$(PROGS) $(notdir $(SCRIPTS)))
	rm -rf $(LIBDIR) $(MODELS:%=$(MODELDIR)/%)
	for s in 1 5 7; do for p in man/*.$$s; do rm -f "$(MANDIR)/man$$s/$${p##*/}"; done; done

clean:
	rm -rf build

-include $(shell find $B -name '*.d' 2>/dev/null)
