# `make demo` and `make test` set up everything they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export OMP_NUM_THREADS = 1

.PHONY: demo demo-train demo-tune test test-slow test-portable test-processors \
	test-integrations lint docs wheel sdist clean

demo: $(VENV)/.base
	$(BIN)/advise demo

# Fine-tune the bundled tiny model and let the advisor judge the run.
demo-train: $(VENV)/.train
	$(BIN)/advise demo --train

# Tune the tiny model's config from a learning rate far too low, by a few real runs.
demo-tune: $(VENV)/.train
	$(BIN)/advise demo --tune

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 -m "not slow and not integration"

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 -m "slow"

# Whatever a processor can: the same tests on the arithmetic of the plainest one, of one without
# AVX-512, and of this one. `make test-processors`: the first two, and what does arithmetic only.
QUICK := not slow and not integration
test-portable: $(VENV)/.dev
	$(PLAINEST) $(BIN)/python -m pytest -n 2 -m "$(QUICK)" tests/train tests/tuning
	$(NO_AVX512) $(BIN)/python -m pytest -n 2 -m "$(QUICK)" tests/train tests/tuning
	$(BIN)/python -m pytest -n 2 -m "$(QUICK)" tests/train tests/tuning

test-processors: $(VENV)/.dev
	$(PLAINEST) $(BIN)/python -m pytest -n 2 -m "trains and $(QUICK)" tests/train
	$(NO_AVX512) $(BIN)/python -m pytest -n 2 -m "trains and $(QUICK)" tests/train

PLAINEST := ATEN_CPU_CAPABILITY=default
NO_AVX512 := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2

test-integrations: $(VENV)/.track
	$(BIN)/python -m pytest -m "integration"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Rule pages, the index of rules and the compiled tables, from the rule files and ranges.
docs: $(VENV)/.dev
	$(BIN)/python -m advisor.report.page
	$(BIN)/python -m tests.contract.test_imports

# Build the wheel, install it into a clean environment and run it outside the checkout.
wheel: $(VENV)/.dev
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps -w build/wheel .
	$(PYTHON) -m venv build/wheel/venv
	build/wheel/venv/bin/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt build/wheel/*.whl
	cd build/wheel && venv/bin/advise demo && venv/bin/advise rules --format json > rules.json

# Build the source distribution, unpack it and run its own fast tests there.
sdist: $(VENV)/.dev
	rm -rf build/sdist && mkdir -p build/sdist
	$(PYTHON) -m venv build/sdist/venv
	build/sdist/venv/bin/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt build
	build/sdist/venv/bin/python -m build --sdist --outdir build/sdist .
	cd build/sdist && tar xf finetune_advisor-*.tar.gz
	cd build/sdist/finetune_advisor-*/ && PYTHONPATH="$$PWD" $(CURDIR)/$(BIN)/python -m pytest \
		-n 2 -m "$(QUICK)"

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e .
	$(BIN)/python -m compileall -q advisor train
	touch $@

# torch comes first and pinned: a range may pull gigabytes of another build.
$(VENV)/.train: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) torch==2.13.0
	$(PIP) -e '.[train]'
	$(BIN)/python -m compileall -q advisor train
	touch $@

$(VENV)/.dev: $(VENV)/.train
	$(PIP) -e '.[train,dev]'
	touch $@

$(VENV)/.track: $(VENV)/.dev
	$(PIP) -e '.[train,track,integrations,ray,dev]'
	touch $@

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
