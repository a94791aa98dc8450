# genrl_ros: `make demo` and `make test` set up everything that they need. `make help` lists the rest.

VENV ?= .venv
PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	2>/dev/null && echo $$python && break; done)
export DOMAIN ?= kitchen
export PROMPT ?=

# The CPU build of torch. `make setup TORCH=torch==2.13.0` takes PyPI's, which can use a GPU.
TORCH ?= torch==2.13.0+cpu
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest
STAMPS := $(VENV)/.stamps

# What Debian and Ubuntu call the system libraries: GL without a display, and a C++ compiler.
SYSTEM_PACKAGES := libegl1 libgl1-mesa-dri libopengl0 g++
APT_INSTALL := apt-get install -y --no-install-recommends

INTERFACES := $(shell find genrl_interfaces -type f -not -path '*/.*')
PACKAGE := setup.py setup.cfg package.xml $(shell find genrl_ros launch config models sim resource \
	-type f -not -name '*.pyc' 2>/dev/null)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup fmt lint type test test-full test-unit test-sim test-ros test-launch check demo faults soak \
	lock clean

help:  ## Show this list.
	@grep -hE '^[a-z -]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 45

setup: $(STAMPS)/package  ## Virtual environment, pinned dependencies, interfaces, package.

$(STAMPS)/system:
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or 3.12 is needed: install one, or name it with' \
		'make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@if command -v dpkg-query >/dev/null; then \
		missing=; \
		for package in $(SYSTEM_PACKAGES); do \
			dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' \
				|| missing="$$missing $$package"; \
		done; \
		$(PYTHON) -c 'import ensurepip' 2>/dev/null || missing="$$missing python3-venv"; \
		$(PYTHON) -c 'import pathlib, sys, sysconfig; \
			sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").is_file())' \
			|| missing="$$missing python3-dev"; \
		if test -n "$$missing" && test "$$(id -u)" = 0; then \
			apt-get update && $(APT_INSTALL) $$missing; \
		elif test -n "$$missing"; then \
			echo "System packages are missing. Run this, then make again:" >&2; \
			echo "    sudo apt-get update && sudo $(APT_INSTALL)$$missing" >&2; \
			exit 1; \
		fi; \
	fi
	@command -v c++ >/dev/null || { echo 'A C++ compiler is needed (c++, g++).' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@mkdir -p $(@D) && touch $@

$(STAMPS)/requirements: requirements.lock $(STAMPS)/system
	$(PIP) install --quiet '$(TORCH)' || $(PIP) install --quiet --index-url $(TORCH_INDEX) '$(TORCH)'
	$(PIP) install --quiet --use-pep517 -r requirements.lock
	@touch $@

$(STAMPS)/interfaces: $(INTERFACES) $(STAMPS)/requirements
	$(PIP) install --quiet --no-deps --force-reinstall ./genrl_interfaces
	@touch $@

# A plain install: an editable one would leave out share/ and lib/, where ROS looks.
$(STAMPS)/package: $(PACKAGE) $(STAMPS)/interfaces
	@rm -rf build/lib* build/bdist.* genrl_ros.egg-info
	$(PIP) install --quiet --no-deps --force-reinstall .
	@$(BIN)/python setup.py --quiet build_ext --inplace  # for tests, which run in the checkout
	@touch $@

fmt: setup  ## Format the code, and apply automatic fixes.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: setup  ## Style, formatting, and who may import whom.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type: setup  ## Types.
	$(BIN)/mypy

test: lint type  ## Everything: lint, types, and the four tiers of tests.
	@$(PYTEST) test

test-full: lint type  ## The same with the long forms of tests (marked `full`): hours.
	@$(PYTEST) test -m '' --timeout 7200

test-unit test-sim test-ros test-launch: test-%: setup  ## One tier of tests.
	@$(PYTEST) test/$*

check: lint type test-unit  ## What takes a minute: before each commit.

# Fault tests are called fault_*.py, so that `make test` does not run them.
FAULTS := $(PYTEST) -m '' -o python_files='fault_*.py' -o python_functions='fault_*'

faults: setup  ## Break a running graph in many ways; writes docs/faults.md.
	@$(FAULTS) test/faults --faults-report docs/faults.md

HOURS ?= 8
soak: setup  ## Drive the simulator for HOURS=8 while learning; memory, period, stops.
	@$(BIN)/python test/faults/soak.py --hours $(HOURS)

demo: setup  ## The whole method once. DOMAIN=kitchen and the domain's first task unless DOMAIN, PROMPT say more.
	@$(BIN)/genrl demo "$$DOMAIN" --prompt "$$PROMPT"

# Resolved anew from setup.py; nothing is installed. torch is pinned without the +cpu that says which
# build it is, so that one lock serves machines with and without a GPU.
lock: setup  ## Write requirements.lock anew.
	@mkdir -p build
	$(PIP) install --quiet --dry-run --ignore-installed --report build/report.json \
		'$(TORCH)' '.[ros,training,test,dev]'
	{ grep '^#' requirements.lock; $(BIN)/python -c 'import json, sys; \
		found = [item["metadata"] for item in json.load(sys.stdin)["install"]]; \
		print("\n".join(sorted((package["name"] + "==" + package["version"].split("+")[0] \
			for package in found if package["name"] != "genrl_ros"), key=str.lower)))' \
		< build/report.json; } > build/requirements.lock
	mv build/requirements.lock requirements.lock

clean:  ## Remove what can be made again. Keeps runs/ and data/.
	rm -rf $(VENV) build dist install log *.egg-info .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
