# Each target does its own set-up: a fresh machine needs Python >= 3.11, git, make and an index.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

SPECS      := specs examples
DOCUMENT   := $(SPECS) --fsm-spec=docs/specs.md
PHONE_MENU := examples.phone_menu.menu:MENU --out examples/phone_menu/diagrams
CLIENT     := examples.reconnecting_client.table:CLIENT --out examples/reconnecting_client/diagrams

.PHONY: help setup demo test check diagrams format speech browser clean
help:
	@echo "make demo | test | check | diagrams | format | speech | browser | clean"

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

test: setup  ## specs, which must show all of every table; then tests, those with the model by themselves
	$(BIN)/callfsm models fetch tiny.en
	$(BIN)/python -m pytest $(SPECS) --fsm-cov-fail-under=100
	$(BIN)/python -m pytest -n 2 -m "not model" tests
	$(BIN)/python -m pytest -m model tests

check: setup  ## format, lint, types, diagrams, the document of the specs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/callfsm diagram --check
	$(BIN)/callfsm diagram $(PHONE_MENU) --check
	$(BIN)/callfsm diagram $(CLIENT) --check
	$(BIN)/python -m pytest -q $(DOCUMENT) --fsm-spec-check

diagrams: setup  ## draw the machines, and write the document of the specs again
	$(BIN)/callfsm diagram
	$(BIN)/callfsm diagram $(PHONE_MENU)
	$(BIN)/callfsm diagram $(CLIENT)
	$(BIN)/python -m pytest -q $(DOCUMENT)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# $(call debian,PACKAGES,WHAT IS NOT THERE WITHOUT)
debian = @if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  dpkg -s $(1) >/dev/null 2>&1 \
	  || { apt-get update -qq && apt-get install -y -qq --no-install-recommends $(1); } >/dev/null \
	  || echo "$@: $(2)"; \
	else echo "$@: not root on Debian; $(2)"; fi

speech:  ## human telephone speech, where Debian's packages can be had; everything works without
	$(call debian,asterisk-core-sounds-en-wav asterisk-core-sounds-en,no telephone prompts: the synthetic voice is used)

browser:  ## Chromium, in which the tests look at the page
	$(call debian,chromium,no Chromium: the page is not looked at)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
