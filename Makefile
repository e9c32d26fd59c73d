# Every target works on a fresh clone with Python 3.11 and pip.
PYTHON ?= python3
PIP_FLAGS := --quiet --disable-pip-version-check -c constraints.txt
BIN := .venv/bin
# Tests that need only the base install (no torch, no tokenizers).
BASE_TESTS := $(wildcard $(addprefix tests/,\
	core puzzles search control store solver cli build tasks verifiers policies/test_scripted.py policies/test_replay.py \
	policies/test_openai_dialects.py policies/test_openai_faults.py policies/test_openai_reader.py \
	test_public_api.py test_examples.py))

.PHONY: setup demo test test-base test-full lint clean

setup: .venv/.ready

demo: setup
	$(BIN)/python -m mull demo

test: test-base lint
	$(BIN)/pytest -q -m "not full"

test-base: .venv-base/.ready
	.venv-base/bin/python -c "import importlib.util as u; assert u.find_spec('torch') is None"
	.venv-base/bin/pytest -q -m "not full" $(BASE_TESTS)

test-full: test
	$(BIN)/pytest -q -m full

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/pyright

clean:
	rm -rf .venv .venv-base build dist

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv && $(BIN)/pip install $(PIP_FLAGS) -e '.[local,dev]' && touch $@

.venv-base/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-base && .venv-base/bin/pip install $(PIP_FLAGS) -e '.[test]' && touch $@
