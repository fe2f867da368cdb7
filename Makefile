# Everything is installed into ./.venv, once. Needed beforehand: Python 3.10 or later with pip, and make.

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKERS ?= 2
NNUNET ?= nnunetv2==2.8.1
NNUNET_VENV := .bench-nnunet

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup test lint demo docs bench bench-nnunet growth fuzz chaos clean
.DELETE_ON_ERROR:

setup: $(INSTALLED)
	@echo "darnet is installed in $(VENV); to use it: . $(BIN)/activate"

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "darnet: there is no $(PYTHON); name yours: make PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "darnet: needs Python 3.10 or later, but $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
			"name another: make PYTHON=python3.12" >&2; exit 2; }
	@# Debian's Python may lack ensurepip: its own pip then fills the environment.
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m venv --clear --without-pip $(VENV) && \
		$(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }

# torch comes first and pinned, so that no other package chooses its version.
$(INSTALLED): setup.py Makefile | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# One thread for each worker: more of them only wait for each other on few cores.
# Tests change their folder: what they covered is collected here all the same.
test: lint
	COVERAGE_FILE=$(CURDIR)/.coverage OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) \
		--cov --cov-report=term:skip-covered --cov-fail-under=90

# Warnings are errors: a page that leads nowhere is not built.
docs: $(VENV)/.docs
	$(BIN)/python -m mkdocs build --strict

$(VENV)/.docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/darnet_demo

# Darnet against other ways of doing the same; writes benchmarks/results.json and docs/performance.md.
bench: $(INSTALLED)
	@# Without nnU-Net its rows are left out, each with the reason.
	-$(MAKE) bench-nnunet
	$(BIN)/python -m benchmarks

# How time and memory grow with scans and cases; writes benchmarks/growth.json, pictures and tables of docs/.
growth: $(INSTALLED)
	$(BIN)/python -m benchmarks.growth

# nnU-Net, which darnet is timed against, in an environment of its own: neither needs the other.
bench-nnunet: $(NNUNET_VENV)/.installed

$(NNUNET_VENV)/.installed: Makefile
	$(PYTHON) -m venv --clear $(NNUNET_VENV) || { $(PYTHON) -m venv --clear --without-pip $(NNUNET_VENV) && \
		$(PYTHON) -m pip --python $(NNUNET_VENV)/bin/python install --quiet pip; }
	$(NNUNET_VENV)/bin/python -m pip install --quiet $(TORCH)
	@# torch again, so that nothing takes the place of the version that darnet is timed with.
	$(NNUNET_VENV)/bin/python -m pip install --quiet $(NNUNET) $(TORCH)
	@touch $@

# Damaged NIfTI files through the reader; a fault ends it with exit code 1.
fuzz: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fuzz_reader --mutations 20000 --seed 0 \
		--report docs/reports/fuzz_reader.json

# Every stage killed at random moments and started again; a loss ends it with exit code 1.
chaos: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.chaos --kills 50 --seed 0 --report docs/reports/chaos.json

clean:
	rm -rf $(VENV) $(NNUNET_VENV) site .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage darnet.egg-info
