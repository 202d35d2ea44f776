# SPDX-License-Identifier: GPL-2.0-or-later
# make, make check, make demo … ; V=1 shows the commands, CC and CFLAGS are yours.

CC ?= gcc
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
PACKAGES := libprotobuf-c libzstd libbsd-overlay jansson libxxhash

CFLAGS ?= -O2 -g
override CFLAGS += -std=gnu11 -Wall -Wextra -Werror -Wno-unused-parameter -fno-strict-aliasing -pthread
CPPFLAGS += -D_GNU_SOURCE -Icriu-lite -I. -I$(BUILD) $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LDLIBS += $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -pthread
Q := $(if $(V),,@)
ARCH := $(shell uname -m)

PROTOS := $(wildcard images/*.proto)
PB_SOURCES := $(PROTOS:%.proto=$(BUILD)/%.pb-c.c)
SOURCES := $(wildcard criu-lite/*/*.c criu-lite/kinds/*/*.c images/*.c kernel-compat/*.c kernel-compat/arch/$(ARCH)/*.c)
ASM := $(wildcard kernel-compat/arch/$(ARCH)/*.S)
LIB_OBJECTS := $(SOURCES:%.c=$(BUILD)/%.o) $(ASM:%.S=$(BUILD)/%.o) $(PB_SOURCES:.c=.o)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/*.c))
TARGET_PROGRAMS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/kinds/*.c tests/programs/*.c tests/faults/*.c))

.PHONY: all deps check soak demo bench lint asan fuzz install clean
.SECONDARY:

all: $(BUILD)/criu-lite

$(BUILD)/criu-lite: $(BUILD)/criu-lite/main.o $(LIB_OBJECTS)
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/images/%.pb-c.c: images/%.proto
	@mkdir -p $(@D)
	$(Q)protoc-c --proto_path=. --c_out=$(BUILD) $<

$(BUILD)/%.o: %.c | $(PB_SOURCES)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.o: %.S
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -c -o $@ $<

$(BUILD)/%.pb-c.o: $(BUILD)/%.pb-c.c
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(LIB_OBJECTS)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

$(BUILD)/tests/%: tests/%.c tests/testing.h
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) -D_GNU_SOURCE -Itests $(CFLAGS) -o $@ $< -lrt

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
