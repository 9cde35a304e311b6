# Each target does all of its own set-up: it looks for what the machine lacks, creates .venv and installs into it. What
# is installed is remembered by stamp files in .venv, so that a second run starts at once.

VENV   ?= .venv
ARGS   ?=
DEVICE ?= cpu
ON_GPU := $(if $(filter-out cpu,$(DEVICE)),$(VENV)/gpu.stamp)
RUN    := $(VENV)/bin/python
PIP    := $(RUN) -m pip --disable-pip-version-check

# python3 first: it is what the machine's owner chose.
CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14 python
PYTHON ?= $(shell for python in $(CANDIDATES); do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$python && break; \
	done)

# What tools/check_machine.py looks for before .venv is created.
NEEDED := venv

# What an installation depends on; Python files are run in place.
BUILD := pyproject.toml setup.py fastconv/version.py $(wildcard src_cython/*.pyx src_cython/*.pxd src_cython/*.h) \
	$(wildcard src_cython/tile*.c)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test bench bench-report bench-cuda bench-operations bench-networks conformance lint clean distclean

help:  ## list the targets
	@echo "usage: make TARGET [ARGS=\"...\"] [PYTHON=/path/to/python]"; echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target what; do \
		printf '  %-18s%s\n' "$$target" "$$what"; done

demo: $(VENV)/demo.stamp $(ON_GPU)  ## train a small CNN on real digits and compare backends; ARGS="--epochs 2", DEVICE=cuda
	@$(RUN) -m fastconv demo --device $(DEVICE) $(ARGS)

test: $(VENV)/test.stamp  ## run all tests; ARGS="-k pool"
	@$(RUN) -m pytest $(ARGS)

bench: $(VENV)/test.stamp  ## time loops, tensordot, numba, cython and torch with pytest-benchmark; ARGS="-k resnet"
	@$(RUN) -m pytest bench/bench_conv.py bench/bench_pool.py bench/bench_functional.py $(ARGS)

bench-report: $(VENV)/test.stamp  ## time fastconv beside its peers, write bench/RESULTS.md, its plots and README's table
	@$(RUN) -m bench.report --update-readme $(ARGS)

bench-operations: $(VENV)/test.stamp  ## time everything beyond convolution and pooling, write bench/OPERATIONS.md
	@$(RUN) -m bench.report --operations $(ARGS)

bench-networks: $(VENV)/test.stamp  ## time layers of known networks, write bench/NETWORKS.md
	@$(RUN) -m bench.report --networks $(ARGS)

conformance: $(VENV)/test.stamp  ## hold every function against torch, write docs/CONFORMANCE.md
	@PYTHONPATH=tests $(RUN) -m pytest -p conformance tests/test_conformance.py tests/test_bad_calls.py tests/test_layers.py \
		tests/test_layers_more.py $(ARGS)

bench-cuda: $(VENV)/cuda.stamp  ## on a GPU: validate the CUDA kernels, time them beside cuDNN, write bench/RESULTS_CUDA.md
	@$(RUN) -m bench.cuda $(ARGS)

lint: $(VENV)/lint.stamp  ## check the code with ruff
	@$(RUN) -m ruff check .

clean:  ## remove what was built, but not .venv
	rm -rf build dist out *.egg-info .pytest_cache .ruff_cache .benchmarks .hypothesis .cache $(VENV)/*.stamp
	rm -f fastconv/backends/_engine*.so fastconv/backends/_engine*.pyd
	find . -path ./$(VENV) -prune -o -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove .venv too
	rm -rf $(VENV)

$(VENV)/demo.stamp: $(BUILD) | $(RUN)
	@$(RUN) tools/check_machine.py index --optional extension
	@echo "installing fastconv and what the demo needs ..."
	@$(PIP) install --quiet --editable ".[demo]"
	@$(RUN) -c "import fastconv.backends._engine" 2>/dev/null || \
		echo "note: the Cython extension was not built; why, says: $(PIP) install -v --editable ."
	@touch $@

$(VENV)/gpu.stamp: pyproject.toml $(VENV)/demo.stamp | $(RUN)
	@echo "installing numba-cuda, CuPy and what they need of the CUDA toolkit ..."
	@$(PIP) install --quiet --editable ".[cuda]"
	@touch $@

# torch comes first and alone, so that pip settles on the pinned build before anything else can ask for another.
$(VENV)/test.stamp: NEEDED := venv extension
$(VENV)/test.stamp: $(BUILD) | $(RUN)
	@$(RUN) tools/check_machine.py extension index
	@echo "installing torch, which the tests compare with, then fastconv and the rest ..."
	@$(PIP) install $$($(RUN) tools/requirements.py test torch)
	@FASTCONV_REQUIRE_EXT=1 $(PIP) install --quiet --editable ".[test]"
	@touch $(VENV)/demo.stamp $@

$(VENV)/cuda.stamp: $(BUILD) | $(RUN)
	@$(RUN) tools/check_machine.py index --optional extension
	@echo "installing torch, whose cuDNN the kernels are compared with, then fastconv and the rest ..."
	@$(PIP) install $$($(RUN) tools/requirements.py test torch)
	@$(PIP) install --quiet --editable ".[test,cuda]"
	@touch $@

$(VENV)/lint.stamp: pyproject.toml | $(RUN)
	@$(RUN) tools/check_machine.py index
	@$(PIP) install --quiet $$($(RUN) tools/requirements.py lint)
	@touch $@

# Also where .venv holds a link to a Python that is gone: what was installed for that one is forgotten.
$(RUN):
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found (tried: $(CANDIDATES))"; \
		echo "  Debian, Ubuntu: apt-get install python3 python3-venv python3-dev"; \
		echo "  Fedora:         dnf install python3 python3-devel"; \
		echo "  macOS:          brew install python"; \
		echo "  or name one:    make PYTHON=/path/to/python ..."; exit 1; } >&2
	@$(PYTHON) tools/check_machine.py $(NEEDED)
	@rm -f $(VENV)/*.stamp $(VENV)/bin/python*
	@echo "creating $(VENV) with $(PYTHON) ..."
	@$(PYTHON) -m venv $(VENV)
