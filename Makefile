# The door to everything: `make help` lists it.
ARGS ?=
PYTHON ?= python3
VENV ?= .venv
export PYTHON VENV
# The last line of `make demo` is for scripts; make has nothing to add to it.
MAKEFLAGS += --no-print-directory

.PHONY: help demo test check bench lock
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 14

demo:  ## the whole path with simulated sensors and brokers; ARGS="--seconds 30 --outage 10"
	@scripts/setup demo
	@$(VENV)/bin/citylab-gateway demo $(ARGS)

test:  ## every test; ARGS="-k ring" picks some
	@scripts/test $(ARGS)

check:  ## style, types and house rules: what CI checks without running a test
	@scripts/check

bench:  ## the benchmarks: figures and ratios, no judgement; ARGS="bench_end_to_end --minutes 10"
	@scripts/setup dev
	@scripts/bench $(ARGS)

STATES ?= 10000
SEED ?= 1
STATE ?= -1
KILLS ?= 0
.PHONY: crash
crash:  ## power cuts on a fake disk: STATES=100000 SEED=7, replay one with STATE=5; kill -9: KILLS=200
	@scripts/setup dev
	@$(VENV)/bin/python -m tests.crash.run --states $(STATES) --seed $(SEED) --state $(STATE) --kills $(KILLS) $(ARGS)

.PHONY: fuzz
fuzz:  ## random and damaged bytes for every decoder; ARGS="--inputs 1000000 --driver p1 --seed 7"
	@scripts/setup dev
	@$(VENV)/bin/python -m tests.drivers.fuzz $(ARGS)

HOURS ?= 1
.PHONY: soak
soak:  ## a hundred sensors, five links, faults by seed; does anything grow? HOURS=8 SEED=7
	@scripts/setup dev
	@$(VENV)/bin/python -m tests.soak.run --hours $(HOURS) --seed $(SEED) $(ARGS)

.PHONY: deb
deb:  ## the Debian package, into dist/; ARCH=arm64 RELEASE=trixie (docs/install.md)
	@scripts/deb $(ARGS)

.PHONY: deb-test
deb-test:  # the tests against the package, emulated: make deb-test ARCH=arm64 ARGS="tests/buffer"
	@packaging/suite.sh $(ARGS)

CUTS ?= 20
.PHONY: pi
pi:  ## an emulated Pi: package installed, adapter pulled out, plug pulled 20 times; CUTS=5 SEED=7
	@scripts/setup dev
	@$(VENV)/bin/python -m tests.pi.run --cuts $(CUTS) --seed $(SEED) $(ARGS)

lock:  ## write the lock files anew
	@scripts/lock --upgrade
