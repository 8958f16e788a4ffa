# SPDX-License-Identifier: Apache-2.0
# A thin front for Meson, npm and the tests: `make help` says what there is.

ifeq ($(origin CC),default)
CC := gcc
endif
export CC

RELEASE := build
CHECKED := build-asan
FUZZED := build-fuzz
THREADED := build-tsan
NPM_APPS := $(dir $(wildcard examples/*/package-lock.json))

PREFIX ?= /usr/local

.PHONY: help up build test tsan valgrind soak fuzz fuzz-coverage bench micro install clean released-tests threaded-tests packages-build packages-examples packages-test packages-fuzz packages-bench bench-tools examples names
.DEFAULT_GOAL := help
.NOTPARALLEL:

help:
	@echo 'make up      install what is missing, build, and start Portico with the example apps;'
	@echo '             UP="--data DIR" for another data directory'
	@echo 'make test    install what is missing, build with sanitizers, run all tests'
	@echo 'make tsan    tests where threads meet, under ThreadSanitizer'
	@echo 'make valgrind   unit tests under Valgrind'
	@echo 'make soak    SECONDS=60 of load while processes are killed; every octet is checked'
	@echo 'make build   leave the program at build/portico'
	@echo 'make fuzz    SECONDS=60 of each fuzz target, or of TARGET=h2_server'
	@echo 'make fuzz-coverage   lines that the seeds and found inputs reach'
	@echo 'make bench   CPU and memory beside nginx, HAProxy, h2o and nghttpx; BENCH="a b --rounds 3"'
	@echo 'make micro   instructions of small operations, by callgrind'
	@echo 'make install   to $$DESTDIR$$PREFIX: the program, man page, systemd unit, an example'
	@echo 'make clean   remove what was built (the data directory stays)'

up: build examples names
	@exec $(RELEASE)/portico up --manifest examples/portico.yaml $(UP)

# The program alone: who only wants to run it need not wait for what tests it.
build: packages-build $(RELEASE)/build.ninja
	@ninja -C $(RELEASE) src/bin/portico
	@[ -e $(RELEASE)/portico ] || ln -s src/bin/portico $(RELEASE)/portico

# Werror is for CI: a newer compiler's new warning must not stop someone's `make up`.
$(RELEASE)/build.ninja:
	@meson setup $(RELEASE) --buildtype=release

$(CHECKED)/build.ninja:
	@meson setup $(CHECKED) --buildtype=debugoptimized -Doptimization=1 -Dwerror=true \
	    -Db_sanitize=address,undefined -Db_lundef=false

$(THREADED)/build.ninja:
	@meson setup $(THREADED) --buildtype=debugoptimized -Doptimization=1 -Dwerror=true \
	    -Db_sanitize=thread -Db_lundef=false

# What is shipped, in a jail without a sanitizer's needs; and four loops under ThreadSanitizer.
RELEASED_TESTS := hardening jail fence $(patsubst %,tests/e2e/%.test.mjs,41-reasons 65-jail \
    66-fence 66-reload 66-tenants 67-unread 70-manifest 73-many)
THREADED_TESTS := loop stream tests/e2e/10-first-light.test.mjs tests/e2e/64-loops.test.mjs
VALGRIND_TESTS := --setup=valgrind --suite=unit --no-suite=bare

test: packages-test examples released-tests threaded-tests $(CHECKED)/build.ninja
	@ninja -C $(CHECKED)
	@tests/run $(RELEASE) $(RELEASED_TESTS) -- $(THREADED) $(THREADED_TESTS) -- \
	    $(RELEASE) $(VALGRIND_TESTS) -- $(CHECKED)

tsan: packages-test threaded-tests
	@tests/run $(THREADED) $(THREADED_TESTS)

valgrind: packages-test released-tests
	@tests/run $(RELEASE) $(VALGRIND_TESTS)

# cmocka or Valgrind may have been installed after the build directory was made.
released-tests: build
	@[ -e $(RELEASE)/meson-private/valgrind-found ] || \
	    { meson setup --reconfigure $(RELEASE) >/dev/null && touch $(RELEASE)/meson-private/valgrind-found; }
	@ninja -C $(RELEASE)

threaded-tests: packages-build $(THREADED)/build.ninja
	@ninja -C $(THREADED) src/bin/portico tests/unit/test_loop tests/unit/test_stream

# The judge of HTTP/2 may have been installed after the build directory was made.
SECONDS ?= 60
CHAOS ?= workers,edge,control,upgrade
soak: packages-test build
	@[ -e $(RELEASE)/tests/soak/soak_checker ] || meson setup --reconfigure $(RELEASE)
	@ninja -C $(RELEASE) tests/soak/soak_checker
	@tests/soak/run.py --seconds $(SECONDS) --chaos $(CHAOS) $(SOAK)

FUZZ_FLAGS := ['-fsanitize=fuzzer-no-link', '-fno-sanitize-recover=undefined']
$(FUZZED)/build.ninja:
	@CC=clang meson setup $(FUZZED) --buildtype=debugoptimized -Doptimization=1 \
	    -Db_sanitize=address,undefined -Db_lundef=false "-Dc_args=$(FUZZ_FLAGS)"

fuzz: packages-fuzz $(FUZZED)/build.ninja
	@ninja -C $(FUZZED)
	@tools/fuzz $(FUZZED) $(SECONDS) $(TARGET)

# Which lines the seeds, and what `make fuzz` has found beside them, reach.
COVERED := build-coverage
$(COVERED)/build.ninja:
	@CC=clang meson setup $(COVERED) --buildtype=debugoptimized -Doptimization=1 -Db_lundef=false \
	    "-Dc_args=['-fprofile-instr-generate','-fcoverage-mapping']" \
	    "-Dc_link_args=['-fprofile-instr-generate']"

fuzz-coverage: packages-fuzz $(COVERED)/build.ninja
	@ninja -C $(COVERED)
	@tools/fuzz-coverage $(COVERED) $(FUZZED)/corpus $(TARGET)

# What judges HTTP/2 in the tests serves the worker, too; it may have been installed since.
bench-tools: packages-bench build
	@[ -e $(RELEASE)/bench/worker ] || meson setup --reconfigure $(RELEASE) >/dev/null
	@ninja -C $(RELEASE) bench/worker bench/connections bench/requests bench/floor bench/under.so bench/operations

bench: bench-tools
	@bench/performance --report bench/report/performance $(BENCH)

micro: bench-tools
	@bench/micro $(MICRO)

# PREFIX is kept by the build directory, as the unit names the program by it.
install: build
	@meson setup --reconfigure $(RELEASE) --prefix=$(abspath $(PREFIX)) >/dev/null
	@ninja -C $(RELEASE) src/bin/portico
	@meson install -C $(RELEASE) --no-rebuild $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))

examples: packages-examples $(addsuffix node_modules/.package-lock.json,$(NPM_APPS))

# npm leaves the hidden lock file as its own record of what it installed.
examples/%/node_modules/.package-lock.json: examples/%/package-lock.json
	@echo 'npm ci in examples/$*'
	@cd examples/$* && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

packages-build:
	@tools/install-packages build
packages-examples:
	@tools/install-packages examples
packages-test:
	@tools/install-packages build examples test
packages-fuzz:
	@tools/install-packages build fuzz

packages-bench:
	@tools/install-packages build bench

# *.localhost for programs that ask glibc (nghttp, Node); browsers and curl know it by themselves.
names:
	@getent ahosts gallery.localhost >/dev/null || tools/install-packages --gently names || \
	    { echo 'Browsers and curl know *.localhost; for nghttp and Node add to /etc/hosts:'; \
	      echo '    127.0.0.1 gallery.localhost notes.localhost shelf.localhost docs.localhost chat.localhost'; }

clean:
	rm -rf $(RELEASE) $(CHECKED) $(THREADED) $(FUZZED) $(COVERED) $(addsuffix node_modules,$(NPM_APPS))
