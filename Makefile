# The front door. Everything real is in meson.build and scripts/.
BUILD ?= build

.PHONY: all
all: $(BUILD)/build.ninja ## build the program: build/reelay
	@ninja -C $(BUILD) reelay

$(BUILD)/build.ninja:
	@meson setup $(BUILD) >$(BUILD).log 2>&1 || { cat $(BUILD).log; rm -rf $(BUILD); exit 1; }
	@mkdir -p $(BUILD) && mv $(BUILD).log $(BUILD)/setup.log

.PHONY: setup
setup: ## install every package that building and testing need
	@scripts/setup.sh

.PHONY: demo
demo: ## show it: a clip, or VIDEO=path, goes in and a playing URL comes out
	@scripts/demo.sh

.PHONY: fleet
fleet: ## show several nodes on one Redis: a worker is killed in the middle of a job
	@scripts/fleet-demo.sh

.PHONY: bucket
bucket: ## show a bucket: an S3 on this machine, a video that is stored in it and played from it
	@scripts/bucket-demo.sh

.PHONY: check
check: ## every test there is; ends with "N passed, N failed"
	@scripts/check.sh

.PHONY: bench
bench: all ## measure
	@scripts/bench.sh

.PHONY: fuzz
fuzz: ## fuzz the parsers, each for a minute
	@scripts/fuzz.sh

.PHONY: format
format: ## put the sources into shape
	@scripts/format.sh

.PHONY: lint
lint: ## formatting, clang-tidy, the layers
	@scripts/lint.sh

.PHONY: docs
docs: ## write the generated parts of the documentation anew
	@scripts/docs.py write

.PHONY: install
install: all ## install (DESTDIR is respected)
	@meson install -C $(BUILD)

.PHONY: clean
clean: ## remove everything that was built
	rm -rf build build-*

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18
