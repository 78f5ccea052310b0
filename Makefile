# Each target does its own set-up: a fresh machine needs Python >= 3.11, git, make and an index.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: help setup demo test check diagrams format speech clean
help:
	@echo "make demo | test | check | diagrams | format | speech | clean"

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

setup: $(VENV)/.installed

demo: setup  ## three calls of real speech through the whole system
	$(BIN)/callfsm models fetch tiny.en
	$(BIN)/callfsm demo

test: setup  ## specs and tests
	$(BIN)/callfsm models fetch tiny.en
	$(BIN)/python -m pytest

check: setup  ## format, lint, types, diagrams
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/callfsm diagram --check

diagrams: setup  ## draw the machines again
	$(BIN)/callfsm diagram

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

speech:  ## human telephone speech, where Debian's packages can be had; everything works without
	@if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  dpkg -s asterisk-core-sounds-en-wav >/dev/null 2>&1 \
	  || { apt-get update -qq && apt-get install -y -qq asterisk-core-sounds-en-wav; } >/dev/null \
	  || echo "speech: no telephone prompts; the synthetic voice is used"; \
	else echo "speech: not root on Debian; the synthetic voice is used"; fi

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
