# A menu: what builds mayfly is Meson.

BUILD ?= build
SOURCES = $(shell git ls-files --cached --others --exclude-standard '*.c' '*.h')

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-8s %s\n", $$1, $$2 }'

run: ## install what is missing, build, and serve until Ctrl-C
	@scripts/install run
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) -Dtests=false
	@meson compile -C $(BUILD)
	@exec $(BUILD)/src/setup/mayflyd

build: ## build everything, tests too
	@scripts/install test
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD)
	@meson configure $(BUILD) -Dtests=true
	@meson compile -C $(BUILD)

test: build ## run every test (as root)
	@tests/run $(BUILD)

attack: build ## run the attacks that the walls must stand (as root)
	@MAYFLY_BUILD=$(BUILD) /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/integration/test_walls.py \
		tests/integration/test_isolation.py tests/integration/test_storm.py

soak: build ## kill mayfly while it stores, again and again: ROUNDS of it, 2000 by default (as root)
	@MAYFLY_BUILD=$(BUILD) MAYFLY_ROUNDS=$(or $(ROUNDS),2000) /usr/bin/python3 -m pytest -q -s -p no:cacheprovider \
		tests/integration/test_crash.py

check: lint test ## lint, then test: what a change must pass

bench: build ## measure, beside what it replaces
	@scripts/install all
	@MAYFLY_BUILD=$(BUILD) tests/bench/bench.py

lint: build ## complain about format and about what clang-tidy finds
	@scripts/install all
	@clang-format --dry-run -Werror $(SOURCES)
	@run-clang-tidy -quiet -p $(BUILD) '/src/.*\.c$$'

format: ## format all C files
	@scripts/install all
	@clang-format -i $(SOURCES)

asan: ## build with sanitizers and run the tests that can
	@scripts/install all
	@test -f build-asan/build.ninja || CC=clang meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false \
		-Dc_args=-fno-sanitize-recover=undefined
	@meson compile -C build-asan
	@tests/run build-asan unit
	@MAYFLY_BUILD=build-asan /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/integration/test_fake.py

docs: build ## write docs/settings.md from the settings table
	@$(BUILD)/src/setup/mayflyd --print-settings-markdown > docs/settings.md

clean: ## remove what was built; node_modules and data stay
	@rm -rf build build-asan

.PHONY: help run build test attack soak check bench lint format asan docs clean
