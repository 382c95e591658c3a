# SPDX-License-Identifier: Apache-2.0
#
# make          builds build/tcptrail. `make help` lists what else there is.
# V=1           shows the whole commands.
# WERROR=1      makes a warning of the C++ compiler an error, as CI does.
# BUILD=dir     builds there instead: for a build with other flags beside this one, for example
#               make BUILD=build/asan SANITIZE=address,undefined test-unit
# OVERLAY=dir   headers in it come before those of the tree: a test builds another version so.

BUILD ?= build
VERSION := 0.1.0
commit := $(if $(and $(wildcard .git),$(shell command -v git)),$(shell git describe --always --dirty --exclude '*'))

# As many jobs as processors, unless the caller says how many.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-builtin-rules
SHELL := /bin/bash
.DELETE_ON_ERROR:
# Keep what is made on the way, protobuf headers for one.
.SECONDARY:
.DEFAULT_GOAL := all
export BUILD

ifeq ($(V),1)
Q :=
say := @:
else
Q := @
say = @printf '  %-8s %s\n'
endif

# ---- Debian packages: installed here, in one step, when one is missing

test_goals := test test-deb% test-prometheus test-long test-faults test-upgrade soak test-tsan thread-test test-unit test-kernel test-kafka test-kubernetes test-vm test-docs tests bench-first-light bench-mixed
kafka_goals := test test-deb% test-trixie test-secure test-long test-faults test-upgrade soak test-kafka test-kubernetes kafka-up bench bench-offline
check_goals := check check-format check-tidy check-shell check-proto
goals := $(or $(MAKECMDGOALS),all)
sets := build $(if $(filter $(test_goals),$(goals)),test) $(if $(filter $(check_goals),$(goals)),check) \
	$(if $(filter $(kafka_goals),$(goals)),kafka) \
	$(if $(filter test test-kernel test-prometheus,$(goals)),metrics) \
	$(if $(filter test test-long test-faults test-secure test-trixie soak bench,$(goals)),faults) $(if $(filter fuzz fuzz-programs,$(goals)),fuzz) \
	$(if $(filter test-trixie test-deb%,$(goals)),trixie) $(if $(filter test-vm test-deb%,$(goals)),vm) \
	$(if $(filter bench bench-%,$(goals)),bench) $(if $(filter deb test-deb%,$(goals)),deb) $(if $(filter test-deb%,$(goals)),guest) \
	$(if $(filter image test-image,$(goals)),trixie image) $(if $(filter image-root,$(goals)),image-root) $(if $(filter test-chart,$(goals)),chart) \
	$(if $(filter test-kubernetes,$(goals)),kubernetes chart trixie image image-root kafka)
empty :=
packages := $(BUILD)/packages/$(subst $(empty) $(empty),+,$(strip $(sets)))

$(packages): deploy/install-build-packages
	$(Q)deploy/install-build-packages $(sets)
	$(Q)mkdir -p $(@D) && touch $@

# ---- Compilers and flags

CC := gcc
CXX := g++
# The first clang that knows BPF well: Debian 12 has 14, Debian 13 has 19.
CLANG ?= $(notdir $(firstword $(wildcard $(addprefix /usr/bin/,clang-14 clang-19 clang))))
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)

# -isystem: generated headers and those of packages are not ours to warn about.
CPPFLAGS := $(OVERLAY:%=-I%) -I. -isystem $(BUILD)/gen
# xxhash from its header, without its library.
CPPFLAGS += -DXXH_INLINE_ALL
# Cheap checks of bounds at run time: in libc's functions, in the standard library's containers.
hardening := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -D_GLIBCXX_ASSERTIONS -fstack-protector-strong -fstack-clash-protection
# What a sanitizer finds ends the program.
sanitize := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all)
# -g1: a crash in the field must be readable, with functions and lines; it costs no speed.
CXXFLAGS ?= -O2 -g1
cxxflags := -std=c++23 $(CXXFLAGS) $(hardening) -fPIE -pthread $(sanitize)
warnings := -Wall -Wextra -Wpedantic -Wshadow $(if $(WERROR),-Werror)
# relro, now: the tables of the linker are read-only once the program runs.
ldflags := -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS) $(sanitize)
# libbpf statically: it must fit the skeleton, and hosts have many versions of it.
libs := -l:libbpf.a -lelf -lz -lrdkafka -lprotobuf -lyaml-cpp -lfmt -lsqlite3 -lzstd -lcap -lsystemd
# Headers that an object needs are written beside it. -MD, not -MMD: the generated ones count as
# system headers. -MP: a header that was removed must not stop the build.
deps := -MD -MP

# ---- Generated sources: BPF object and skeleton, protobuf, version

gen := $(BUILD)/gen
bpf_object := $(BUILD)/bpf/tcp.bpf.o
skeleton := $(gen)/tcp.skel.h
version := $(gen)/version.h
protos := $(wildcard schemas/v1/*.proto)
pb_headers := $(protos:%.proto=$(gen)/%.pb.h)
pb_objects := $(protos:%.proto=$(gen)/%.pb.o)
generated := $(skeleton) $(version) $(pb_headers)

bpf_arch := $(subst aarch64,arm64,$(subst x86_64,x86,$(shell uname -m)))
# -mcpu=v3: the instructions that Linux 5.15 knows. -g: BTF comes from it. -idirafter: <asm/types.h>
# is in the host's folder, which clang does not look into for another target.
bpf_flags = -target bpf -O2 -g -mcpu=v3 -D__TARGET_ARCH_$(bpf_arch) $(OVERLAY:%=-I%) -I. -Wall -Werror \
	-idirafter /usr/include/$(shell $(CC) -print-multiarch) $(deps)

# bpftool strips debug information from the object and keeps BTF.
$(BUILD)/%.bpf.o: %.bpf.c | $(packages)
	$(say) CLANG $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(bpf_flags) -MT $@ -MF $(@:.o=.d) -c $< -o $(@:.o=.tmp.o)
	$(Q)$(BPFTOOL) gen object $@ $(@:.o=.tmp.o)

$(skeleton): $(bpf_object)
$(skeleton): skeleton_name := tcptrail_bpf
$(gen)/reference.skel.h: $(BUILD)/tests/bench/reference.bpf.o
$(gen)/reference.skel.h: skeleton_name := reference_bpf
$(gen)/%.skel.h:
	$(say) SKEL $@
	$(Q)mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $(skeleton_name) > $@

$(gen)/%.pb.cc $(gen)/%.pb.h: %.proto | $(packages)
	$(say) PROTOC $@
	$(Q)mkdir -p $(gen)
	$(Q)protoc --cpp_out=$(gen) $<

# #include "version.h" has TCPTRAIL_VERSION. The file changes only when the version does.
version_text := $(VERSION)$(if $(commit),+$(commit))
$(version): FORCE
	$(Q)mkdir -p $(@D)
	$(Q)echo '#define TCPTRAIL_VERSION "$(version_text)"' > $@.new
	$(Q)cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# ---- The agent

sources := $(sort $(shell find agent -name '*.cc'))
library := $(BUILD)/libtcptrail.a
program := $(BUILD)/tcptrail

all: $(program) | $(packages) ## build build/tcptrail (default)

$(BUILD)/%.o: %.cc | $(packages) $(generated)
	$(say) CXX $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CXX) $(CPPFLAGS) $(cxxflags) $(warnings) $(deps) -c $< -o $@

# What protoc wrote is compiled without our warnings.
$(gen)/%.pb.o: $(gen)/%.pb.cc | $(pb_headers)
	$(say) CXX $@
	$(Q)$(CXX) $(CPPFLAGS) $(cxxflags) -w $(deps) -c $< -o $@

# Made anew each time, so that no object of a removed source stays in it.
$(library): $(patsubst %.cc,$(BUILD)/%.o,$(filter-out agent/main.cc,$(sources))) $(pb_objects)
	$(say) AR $@
	$(Q)rm -f $@ && ar rcs $@ $^

$(program): $(BUILD)/agent/main.o $(library)
	$(say) LINK $@
	$(Q)$(CXX) $(ldflags) $^ $(libs) -o $@

run: all ## build, then run the agent in the foreground: make run ARGS='--set …'
	@exec $(program) run $(ARGS)

# ---- Debian's package

# Each commit's is later than those before it.
DEB_VERSION ?= $(VERSION)$(if $(commit),+$(shell git rev-list --count HEAD).$(subst -,.,$(commit)))

deb: | $(packages) ## build the Debian package, in build/deb
	@deploy/make-deb $(DEB_VERSION)

# ---- The image

# IMAGE_SYSTEM=host: of this system's program.
image: $(if $(filter host,$(IMAGE_SYSTEM)),$(program)) | $(packages) ## build the container image, in build/image
	@deploy/image/build $(TAG)
# Its files, on the system that this make runs on.
image-root: $(program) | $(packages)
	$(say) ROOT $(BUILD)/image-root
	$(Q)SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) deploy/image/make-root $(program) $(BUILD)/image-root $(version_text)

# helm: that of tests/kubernetes/build, unless HELM says another.
manifests: ## render the chart into deploy/kubernetes, and copy the rules into it
	$(Q)cp deploy/prometheus/tcptrail.rules.yaml deploy/helm/tcptrail/files/
	$(Q)HELM="$${HELM:-$$(tests/kubernetes/build helm)/helm}" deploy/kubernetes/render

# ---- Tests: one program per folder, plus tools

test_object = $(patsubst %.cc,$(BUILD)/%.o,$(sort $(shell find tests/$(1) -name '*.cc' $(2))))
test_programs := $(foreach k,unit kernel kafka faults,$(if $(wildcard tests/$(k)),$(BUILD)/tests/$(k)-test))
tools := $(patsubst %.cc,$(BUILD)/%,$(wildcard tests/tools/*.cc)) $(BUILD)/tests/tools/disk_faults.so $(BUILD)/tests/kafka/plain_consumer
# Catch2 2 is headers only; 3 has a library.
catch = $(if $(wildcard /usr/include/catch2/catch_all.hpp),-lCatch2)

# They wait more than they work: compiled sooner. Those of the kernel run in emulated guests, too. What most of them
# include is compiled once, for the flags of each.
quick := -O0 -U_FORTIFY_SOURCE
precompiled = $(BUILD)/tests/precompiled/$(1)/precompiled.h
$(foreach k,unit kafka faults,$(BUILD)/tests/$(k)/%.o): private cxxflags += $(quick) -include $(call precompiled,quick)
$(BUILD)/tests/kernel/%.o: private cxxflags += -O1 -include $(call precompiled,kernel)
$(BUILD)/tests/kafka/plain_consumer.o: private cxxflags += -O2
$(call precompiled,quick).gch: cxxflags += $(quick)
$(call precompiled,kernel).gch: cxxflags += -O1
$(foreach k,quick kernel,$(call precompiled,$(k)).gch): tests/precompiled.h tests/catch.h | $(packages)
	$(say) PCH $@
	$(Q)mkdir -p $(@D)
	$(Q)echo '#include "tests/precompiled.h"' > $(@:.gch=)
	$(Q)$(CXX) $(CPPFLAGS) $(cxxflags) $(warnings) -x c++-header -c $(@:.gch=) -o $@
$(foreach k,unit kafka faults,$(call test_object,$(k))): | $(call precompiled,quick).gch
$(call test_object,kernel): | $(call precompiled,kernel).gch

# With the targets of fuzzing, to replay what was found.
$(BUILD)/tests/unit-test: $(call test_object,unit) $(call test_object,fuzz,-not -name fuzzer.cc) $(BUILD)/tests/kafka/process.o
$(BUILD)/tests/kernel-test: $(call test_object,kernel) $(BUILD)/tests/kafka/process.o
$(BUILD)/tests/kafka-test: $(call test_object,kafka,-not -name plain_consumer.cc)
# Beside what the tests against Kafka share.
$(BUILD)/tests/faults-test: $(call test_object,faults) $(patsubst %,$(BUILD)/tests/kafka/%.o,acl process setting topic)
$(test_programs): $(BUILD)/tests/main.o $(library)
	$(say) LINK $@
	$(Q)$(CXX) $(ldflags) $(filter %.o,$^) $(library) $(libs) $(catch) -o $@

# These share no code with the agent: they judge it. All but spool_driver, which drives the spool.
$(BUILD)/tests/tools/%: $(BUILD)/tests/tools/%.o
	$(say) LINK $@
	$(Q)$(CXX) $(ldflags) $^ $(tool_libs) -o $@
$(BUILD)/tests/tools/abi_layout: tool_libs := -l:libbpf.a -lelf -lz
$(BUILD)/tests/tools/mix: $(call test_object,tools/mixed)
$(BUILD)/tests/tools/spool_driver: tool_libs := $(library) $(libs)
$(BUILD)/tests/tools/spool_driver: $(library)
# To be preloaded. The C library's own wrappers would call what is defined here.
$(BUILD)/tests/tools/preload/%.o: cxxflags += -fPIC -U_FORTIFY_SOURCE
$(BUILD)/tests/tools/disk_faults.so: $(call test_object,tools/preload)
	$(say) LINK $@
	$(Q)$(CXX) -shared -static-libstdc++ -static-libgcc $^ -o $@
$(BUILD)/tests/kafka/plain_consumer: $(BUILD)/tests/kafka/plain_consumer.o $(pb_objects)
	$(say) LINK $@
	$(Q)$(CXX) $(ldflags) $^ -lrdkafka -lprotobuf -o $@

tests: $(program) $(test_programs) $(tools) | $(packages) ## build all test programs

test-unit: $(program) $(BUILD)/tests/unit-test | $(packages) ## unit tests: seconds, no root, no broker
	@tests/run unit
test: tests ## unit, scripts, rules and dashboards, kernel (root), commands of the documents, kafka (starts the broker), faults
	@tests/run unit-beside scripts rules kernel docs kafka-beside faults
test-kernel: tests ## the tests that need root and a kernel with BTF
	@tests/run kernel
test-kafka: tests ## the tests against the real broker
	@tests/run kafka
test-docs: tests ## the commands of deploy/docs that need nothing but the binary
	@tests/run docs
test-prometheus: $(program) $(BUILD)/tests/tools/generate | $(packages) ## a real Prometheus beside agents under load, with the rules and dashboards
	@tests/run prometheus
test-kubernetes: $(program) image | $(packages) ## a real Kubernetes node on this machine, its programs built once; ARGS='identity upgrade': these phases; IMAGE_SYSTEM=host: with the program of this system
	@KUBERNETES_PHASES='$(ARGS)' tests/run kubernetes
test-faults: tests ## what can go wrong, for real: broker, disk, processes, kernel
	@tests/run faults
test-long: tests ## those of them that take long
	@tests/run long secure
test-secure: $(program) $(BUILD)/tests/tools/generate | $(packages) ## what deploy/docs/secure-kafka.md tells its reader to do
	@tests/run secure
soak: tests ## the longest: hours; the random mix: make soak SECS=600 [SEED=1]
	@SOAK_SECS='$(or $(SECS),$(SOAK_SECS))' SOAK_SEED='$(or $(SEED),$(SOAK_SEED))' tests/run soak every-byte
test-upgrade: tests ## from one agent to the next under load, each second one with other records
	@tests/tools/other_layout $(BUILD)/other-layout/overlay
	@$(MAKE) BUILD=$(BUILD)/other-layout OVERLAY=$(BUILD)/other-layout/overlay $(BUILD)/other-layout/tcptrail
	@tests/run upgrade
test-chart: $(program) | $(packages) ## the chart and the manifests: lint, values, rights, drift
	@tests/run chart
test-image: | $(packages) ## the image: what is in it, and whether packing it twice is the same; TWICE=yes: compiling, too
	@tests/run image$(TWICE:yes=-twice)
test-vm: $(program) $(BUILD)/tests/kernel-test | $(packages) ## the kernel tests on Linux 6.1 and 6.12, in virtual machines
	@tests/vm/run $(ARGS)

test-deb: test-deb-bookworm test-deb-trixie ## the package, on Debian 12 and 13: built, installed in a fresh system, run, upgraded under load in a virtual machine, purged
test-deb-bookworm: tests ## the first half
	@deploy/make-deb $(DEB_VERSION)
	@deploy/make-deb $(DEB_VERSION).next
	@tests/deb/run $(DEB_VERSION)
test-deb-trixie: tests ## the second: built and installed there
	@tests/check/trixie deb DEB_VERSION=$(DEB_VERSION)
	@DEB_SUITE=trixie DEB_FOLDER=$(BUILD)/trixie/out/deb tests/deb/run $(DEB_VERSION) root

# ---- Fuzzing: each parser with libFuzzer, in a build of its own by clang (14 lacks std::expected)

fuzz_targets := $(patsubst tests/fuzz/%.cc,%,$(filter-out %/fuzzer.cc %_test.cc,$(wildcard tests/fuzz/*.cc)))
# What parses, and what that needs: neither BPF nor the commands.
fuzz_sources := $(wildcard agent/config*.cc $(addprefix agent/,$(addsuffix /*.cc,base cluster connections context encode spool)))
fuzz_objects := $(patsubst %.cc,$(BUILD)/%.o,$(fuzz_sources) agent/checkpoint.cc agent/capture/decode.cc agent/capture/lean.cc agent/capture/layout.cc agent/serve/http_request.cc agent/serve/listen_address.cc agent/transmit/client.cc agent/transmit/framing.cc agent/transmit/setup.cc \
	agent/commands/filter.cc) $(pb_objects)

fuzz: ## fuzz the parsers: make fuzz SECS=60 [TARGET=config]
	@$(MAKE) BUILD=$(BUILD)/fuzz CXX=clang++-19 CXXFLAGS='-O1 -g1' SANITIZE=fuzzer-no-link,address,undefined fuzz-programs
	@tests/fuzz/run $(or $(SECS),60) $(or $(TARGET),$(fuzz_targets))
fuzz-programs: $(fuzz_targets:%=$(BUILD)/tests/fuzz/%)
$(BUILD)/fuzz.a: $(fuzz_objects)
	$(say) AR $@
	$(Q)rm -f $@ && ar rcs $@ $^
$(fuzz_targets:%=$(BUILD)/tests/fuzz/%): %: %.o $(BUILD)/tests/fuzz/fuzzer.o $(BUILD)/fuzz.a
	$(say) LINK $@
	$(Q)$(CXX) $(ldflags) -fsanitize=fuzzer $^ $(libs) -o $@

# Uses the agent's spool.
$(BUILD)/tests/bench/fill_spool: $(BUILD)/tests/bench/fill_spool.o $(library)
	$(say) LINK $@
	$(Q)$(CXX) $(ldflags) $^ $(libs) -o $@

# The benchmarks of the stages, and what records their content.
stage_bench := $(BUILD)/tests/bench/stages/stages
$(stage_bench): $(call test_object,bench/stages,-not -name record_ring.cc) $(library)
	$(say) LINK $@
	$(Q)$(CXX) $(ldflags) $^ $(libs) -lbenchmark -o $@
$(BUILD)/tests/bench/stages/record_ring: $(BUILD)/tests/bench/stages/record_ring.o $(library)
	$(say) LINK $@
	$(Q)$(CXX) $(ldflags) $^ $(libs) -o $@

bench-stages: $(stage_bench) $(BUILD)/tests/bench/stages/record_ring $(BUILD)/tests/tools/mix | $(packages) ## ns and allocations of each stage per event, beside its floor
	@tests/bench/stages/run $(ARGS)

# What tcptrail is measured beside, and what makes its load. They share no code with the agent.
bench_programs := $(addprefix $(BUILD)/tests/bench/,answer churn reference)
$(bench_programs): %: %.o
	$(say) LINK $@
	$(Q)$(CXX) $(ldflags) $^ $(if $(filter %/reference,$@),-l:libbpf.a -lelf -lz) -o $@
$(BUILD)/tests/bench/reference.o: $(gen)/reference.skel.h
bench_needs := all $(bench_programs) $(addprefix $(BUILD)/tests/,tools/generate tools/mix kafka/plain_consumer)

bench: $(bench_needs) ## W1 to W8: what tcptrail costs, and whether it tells all; hours. build/bench/report.md
	@tests/bench/run $(ARGS)
bench-quick: $(bench_needs) ## the same in a few minutes: full speed and a steady load
	@tests/bench/run --quick $(ARGS)
bench-tripwire: $(bench_needs) ## has tcptrail become slower than tests/bench/baseline.json says? About a minute
	@tests/bench/run --tripwire $(ARGS) || [ $$? -eq 75 ] # 75: too noisy to say, which it has said

bench-offline: all $(BUILD)/tests/bench/fill_spool $(BUILD)/tests/tools/mix $(BUILD)/tests/tools/generate $(BUILD)/tests/kafka/plain_consumer ## seven days without a network, and the catching up
	@tests/bench/offline $(ARGS)

bench-first-light: $(bench_needs) ## cost and completeness at full speed, beside tcplife
	@tests/bench/run w1 --cases fin0:other --arms tcptrail tcplife --connections 200000 $(ARGS)

bench-mixed: all $(BUILD)/tests/tools/mix ## each of a million records, of all kinds at once, against the truth
	@tests/bench/mixed $(ARGS)

bench-adopt: all ## how long it takes to adopt and to list 100,000 open ends
	@tests/bench/adopt $(ARGS)

kafka-up: | $(packages) ## start Apache Kafka on 127.0.0.1:9092, its files in build/kafka
	@tests/kafka/broker up
kafka-down: ## stop it
	@tests/kafka/broker down

# The stages that threads share, with their tests: the whole program is not needed.
thread_sources := $(wildcard $(addprefix agent/,$(addsuffix /*.cc,base cluster connections context encode spool transmit)) \
	$(addprefix tests/unit/,spool*_test.cc transmit*_test.cc event_loop_test.cc cluster_test.cc) tests/tsan/*.cc)
thread_objects := $(patsubst %.cc,$(BUILD)/%.o,$(thread_sources)) $(BUILD)/tests/main.o $(pb_objects)

test-tsan: ## the tests of threads with ThreadSanitizer, in build/tsan
	@$(MAKE) BUILD=$(BUILD)/tsan CXXFLAGS='-O1 -g1' SANITIZE=thread thread-test
	@BUILD=$(BUILD)/tsan tests/run thread
thread-test: $(BUILD)/tests/thread-test
$(BUILD)/tests/thread-test: $(thread_objects)
	$(say) LINK $@
	$(Q)$(CXX) $(ldflags) $^ $(libs) $(catch) -o $@

test-trixie: $(program) $(BUILD)/tests/tools/generate | $(packages) ## build and run the unit tests on Debian 13, in build/trixie, and Kafka with SCRAM
	@tests/check/trixie
	@tests/run secure-trixie

# ---- Checks

cxx_files := $(sort $(shell find agent tests -name '*.cc' -o -name '*.h'))
all_files := $(cxx_files) $(sort $(shell find bpf -name '*.c' -o -name '*.h') $(shell find tests -name '*.c'))
shell_files := $(shell grep -rlE '^#!/(usr)?/?bin/(env )?(ba)?sh' deploy tests .ci)
tidy_files := $(sort $(wildcard agent/*.cc agent/*/*.cc tests/tools/*.cc tests/tools/*/*.cc))
tidy_stamps := $(tidy_files:%=$(BUILD)/tidy/%.ok)
buf_version := 1.75.0
buf := $(BUILD)/buf/$(buf_version)/node_modules/.bin/buf

check: check-format check-tidy check-shell check-proto check-include check-spdx check-abi check-verifier check-size ## all checks below

check-format: | $(packages) ## clang-format
	$(say) FORMAT
	$(Q)clang-format-19 --dry-run -Werror $(all_files)

check-tidy: $(tidy_stamps) ## clang-tidy
# One file, one stamp: after a change only what it touches is looked at again.
$(BUILD)/tidy/%.ok: % .clang-tidy $(filter %.h,$(cxx_files)) | $(packages) $(generated)
	$(say) TIDY $<
	$(Q)mkdir -p $(@D)
	$(Q)clang-tidy-19 --quiet $< -- -std=c++23 $(CPPFLAGS) -Wno-unknown-warning-option
	$(Q)touch $@

check-shell: | $(packages) ## shellcheck
	$(say) SHELL
	$(Q)shellcheck -x $(shell_files)

check-proto: $(buf) ## buf lint
	$(say) BUF
	$(Q)$(buf) lint
$(buf): | $(packages)
	$(say) NPM $@
	$(Q)npm install --loglevel=error --no-audit --no-fund --prefix $(BUILD)/buf/$(buf_version) @bufbuild/buf@$(buf_version)

check-include: ## a folder of agent/ includes only folders that sort before it
	$(say) INCLUDE
	$(Q)tests/check/include-order
check-spdx: ## licence lines
	$(say) SPDX
	$(Q)tests/check/spdx
check-abi: $(bpf_object) $(BUILD)/tests/tools/abi_layout ## bpf/abi as C, as C++ and in BTF: one layout
	$(say) ABI
	$(Q)tests/check/abi-layout $(bpf_object)
check-verifier: $(program) ## what each program costs the verifier, by kernel (a report, not an error)
	$(Q)tests/check/verifier-cost $(program)
check-size: ## files that are longer than they should be (a report, not an error)
	$(Q)tests/check/file-size $(all_files)

# ---- The rest

clean: ## stop the broker and remove build/
	@if [ -e $(BUILD)/kafka/pid ]; then tests/kafka/broker down; fi
	$(Q)rm -rf $(BUILD)

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r t d; do printf '  %-18s %s\n' "$$t" "$$d"; done

.PHONY: FORCE all run deb image image-root manifests test-chart test-image test-deb tests test test-prometheus test-faults test-secure test-upgrade soak test-unit test-kernel test-kafka test-kubernetes test-docs test-vm test-tsan thread-test fuzz fuzz-programs bench bench-quick bench-tripwire bench-first-light bench-mixed bench-adopt bench-offline bench-stages kafka-up kafka-down test-trixie \
	check check-format check-tidy check-shell check-proto check-include check-spdx check-abi check-verifier check-size clean help

-include $(wildcard $(addprefix $(BUILD)/,bpf/*.d $(addsuffix *.d,$(sort $(dir $(cxx_files)) gen/schemas/v1/ tests/))))
