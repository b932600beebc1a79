# `make setup` once; then `make ch02`, `make ch03`, …, `make final`: plays a chapter's lesson and runs its tests.

VENV := .venv
PYTHON3 := "$(CURDIR)/$(VENV)/bin/python3"
# Containers need root. sudo drops the environment and the PATH, so both are given by hand.
ROOT := $(if $(filter 0,$(shell id -u)),,sudo) env PATH="$(CURDIR)/$(VENV)/bin:$$PATH" PYTHONDONTWRITEBYTECODE=1
# On a slow machine, how many seconds a test may wait for what should take none.
ROOT += $(if $(MYDOCKER_TEST_PATIENCE),MYDOCKER_TEST_PATIENCE=$(MYDOCKER_TEST_PATIENCE))
CHAPTERS := $(sort $(patsubst %/README.md,%,$(wildcard ch0*/README.md)))
SHORT := $(foreach chapter,$(CHAPTERS),$(firstword $(subst _, ,$(chapter))))
# Where there is no Linux, the one of the Vagrantfile is used. VM=1 asks for it anywhere, VM=0 forbids it.
VM ?= $(if $(filter Linux,$(shell uname -s)),0,1)
# Where the reader's progress is kept, over all chapters and labs.
PROGRESS ?= $(HOME)/.local/state/mydocker/progress.json
GIVEN = $(foreach name,TESTS CH DIR TASK JSON HIDDEN SEED MYDOCKER_TEST_PATIENCE,$(if $($(name)),$(name)="$($(name))"))

.PHONY: help setup doctor $(SHORT) final test test-vm setup-vm lint bench clean-host clean test-vagrant lab grade progress

help:
	@echo "make setup        install what is needed: Debian packages, a Python environment in $(VENV)"
	@echo "make doctor       what this machine offers to containers"
	@echo "make $(firstword $(SHORT)) …       play a chapter's lesson and run its tests: $(SHORT)"
	@echo "make final        the same for the full engine"
	@echo "make lab CH=04 DIR=~/lab4      write chapter 4 with its tasks left to you; README there"
	@echo "make grade CH=04 DIR=~/lab4    grade it, with the tests of this tree; TASK=, JSON=, HIDDEN=: tests/labs/README.md"
	@echo "make progress     how far you are"
	@echo "make test         all tests, the lessons among them"
	@echo "make test-vm      the tests of limits, namespaces, mounts and users in a virtual machine with cgroup version 2"
	@echo "make lint         ruff and mypy"
	@echo "make bench        speed, beside runc, podman, docker and others"
	@echo "make test-vagrant Vagrantfile and all: a virtual machine is made, used and destroyed"
	@echo "make clean-host   undo what a killed exercise left on this machine"
	@echo "VM=1 make ch04    in the virtual machine that \`vagrant up\` made; without being asked to where there is no Linux"
	@echo "make ch04 TESTS=… some of the tests only: pytest's -k"

ifeq ($(VM),1)

# Edits go there first, if the folder is copied and not shared; and so do the variables that choose tests.
setup doctor $(SHORT) final test test-vm setup-vm lint bench clean-host grade progress:
	@command -v vagrant >/dev/null || { echo 'make: no Linux and no Vagrant: README, "Where to run it"' >&2; exit 1; }
	@vagrant rsync >&2 || { echo 'make: is the machine up? (vagrant up)' >&2; exit 1; }
	@vagrant ssh -c 'cd /vagrant && make VM=0 $(GIVEN) $@'

else

# Compiled by the user: root's Python leaves nothing in this tree, and would compile all of it at each start.
setup: $(VENV)/ready
	@$(PYTHON3) -m compileall -q $(wildcard ch0*_*) final

$(VENV)/ready: pyproject.toml tests/setup.sh ch03_run/launcher.py
	./tests/setup.sh

doctor: setup
	@$(ROOT) $(PYTHON3) -m ch02_namespaces doctor

$(SHORT): ch%: setup
	@$(ROOT) $(PYTHON3) -m tests.lessons $(wildcard ch$*_*/README.md)
	@$(PYTHON3) -m tests.labs.progress "$(PROGRESS)" lesson $*
	@$(ROOT) $(PYTHON3) -m pytest -q -m "not slow" $(if $(TESTS),-k "$(TESTS)") tests/$(notdir $(patsubst %/,%,$(dir $(wildcard ch$*_*/README.md))))

final: setup
	@$(ROOT) $(PYTHON3) -m tests.lessons final/README.md
	@$(ROOT) $(PYTHON3) -m pytest -q -m "not slow" $(if $(TESTS),-k "$(TESTS)") tests/final

test: setup
	@$(ROOT) $(PYTHON3) -m tests

# As the user who calls it; mmdebstrap alone needs root.
test-vm: setup-vm
	@$(PYTHON3) -m tests.vm

setup-vm: $(VENV)/ready-vm

$(VENV)/ready-vm: $(VENV)/ready tests/vm/architecture.py
	./tests/setup.sh $$($(PYTHON3) -m tests.vm --packages)
	touch $@

lint: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

bench: setup
	./tests/setup.sh hyperfine time runc crun podman iperf3 containernetworking-plugins docker.io etcd-server docker-registry skopeo umoci
	@$(ROOT) $(PYTHON3) -m tests.bench

grade: setup
	@mkdir -p "$$(dirname "$(PROGRESS)")"
	@$(ROOT) $(PYTHON3) -m tests.labs.grade "$(CH)" $(TASK) --tree "$(DIR:~/%=$(HOME)/%)" --progress "$(PROGRESS)" \
		$(if $(JSON),--json $(JSON)) $(if $(SEED),--seed $(SEED)) $(if $(HIDDEN),--hidden "$(HIDDEN:~/%=$(HOME)/%)")

progress: setup
	@$(PYTHON3) -m tests.labs.progress "$(PROGRESS)"

clean-host: setup
	@$(ROOT) $(PYTHON3) -m ch07_practice.clean_host

endif

# Nothing runs here but Python's standard library, so this works where there is no Linux, too.
lab:
	@python3 -c 'import tomllib' 2>/dev/null || { echo 'make: lab takes Python 3.11 or newer' >&2; exit 1; }
	@python3 -m tests.labs.starter "$(CH)" "$(DIR)"

test-vagrant:
	nice ./tests/vagrant/run.sh

clean:
	rm -rf $(VENV) .cache build
