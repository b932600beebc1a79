# `make setup` once; then `make ch02`, `make ch03`, …: plays a chapter's lesson and runs its tests.

VENV := .venv
PYTHON3 := $(CURDIR)/$(VENV)/bin/python3
# Containers need root. sudo drops the environment and the PATH, so both are given by hand.
ROOT := $(if $(filter 0,$(shell id -u)),,sudo) env PATH="$(CURDIR)/$(VENV)/bin:$$PATH" PYTHONDONTWRITEBYTECODE=1
CHAPTERS := $(sort $(patsubst %/README.md,%,$(wildcard ch0*/README.md)))
SHORT := $(foreach chapter,$(CHAPTERS),$(firstword $(subst _, ,$(chapter))))

.PHONY: help setup doctor $(SHORT) test lint bench clean-host clean

help:
	@echo "make setup        install what is needed: Debian packages, a Python environment in $(VENV)"
	@echo "make doctor       what this machine offers to containers"
	@echo "make $(firstword $(SHORT)) …       play a chapter's lesson and run its tests: $(SHORT)"
	@echo "make test         all tests, the lessons among them"
	@echo "make lint         ruff and mypy"
	@echo "make bench        speed, beside unshare and runc"
	@echo "make clean-host   undo what a killed exercise left on this machine"

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml tests/setup.sh ch03_run/launcher.py
	./tests/setup.sh

doctor: setup
	@$(ROOT) $(PYTHON3) -m ch02_namespaces doctor

$(SHORT): ch%: setup
	@$(ROOT) $(PYTHON3) -m tests.lessons $(wildcard ch$*_*/README.md)
	@$(ROOT) $(PYTHON3) -m pytest -q -m "not slow" tests/$(notdir $(patsubst %/,%,$(dir $(wildcard ch$*_*/README.md))))

test: setup
	@$(ROOT) $(PYTHON3) -m pytest

lint: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

bench: setup
	./tests/setup.sh hyperfine runc podman
	@$(ROOT) $(PYTHON3) -m tests.bench

clean-host: setup
	@$(ROOT) $(PYTHON3) -m ch06_network.clean_host

clean:
	rm -rf $(VENV) .cache build
