# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TEST_PROCESSES ?= 2
PYTHONS ?= 3.10 3.11 3.12 3.13 3.14

DEMO_EXTRAS := server,mpi,demo
ALL_EXTRAS := $(DEMO_EXTRAS),interchange,plot,yaml,lifecycle,dev
DEMO_STAMP := $(VENV)/.demo-installed
STAMP := $(VENV)/.installed
# Only errors: an index that lacks a file of another machine is not worth a wall of warnings.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-long test-newest test-oldest test-pythons check audit fuzz bench lock \
	wheelhouse clean

$(DEMO_STAMP): setup.cfg pyproject.toml constraints.txt
	@echo "Installing what the demo needs into $(VENV)/ (about 0.6 GB)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) pip setuptools
	$(PIP) --no-build-isolation --editable '.[$(DEMO_EXTRAS)]'
	touch $@

$(STAMP): $(DEMO_STAMP)
	@echo "Installing what the tests need besides (about 1.3 GB, PyTorch most of it)"
	$(PIP) --no-build-isolation --editable '.[$(ALL_EXTRAS)]'
	touch $@

demo: $(DEMO_STAMP)
	$(BIN)/sprov demo

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: demo check
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES)

# The newest versions that the declared ranges allow, without the lock.
test-newest: $(STAMP)
	PYTHON=$(PYTHON) UV=$(BIN)/uv .ci/other-versions newest

# The lower bounds of setup.cfg, on the oldest Python.
test-oldest: $(STAMP)
	UV=$(BIN)/uv .ci/other-versions oldest

# The locked versions on every Python that is found; the others are named.
test-pythons: $(STAMP)
	UV=$(BIN)/uv .ci/other-versions locked $(PYTHONS)

# Every version that the targets above install, for Python 3.10 to 3.14 on x86-64 and aarch64.
UV_COMPILE := compile --quiet --upgrade --all-extras --python-version 3.10 \
	--no-annotate --no-emit-index-url --custom-compile-command 'make lock'
lock: $(STAMP)
	$(BIN)/uv pip $(UV_COMPILE) --universal --output-file constraints.txt setup.cfg
	$(BIN)/uv pip $(UV_COMPILE) --resolution lowest-direct --output-file constraints-oldest.txt setup.cfg

# The full numbers of docs/reference/guarantees.md, one after the other; what they measured is in FIGURES.
FIGURES ?= figures.txt
test-long: $(STAMP)
	rm -f $(FIGURES)
	SPROV_FIGURES=$(abspath $(FIGURES)) $(BIN)/python -m pytest tests/long --durations=0
	@cat $(FIGURES)

audit: $(STAMP)
	$(BIN)/python .ci/audit

FUZZ_SECONDS ?= 3600
fuzz: $(STAMP)
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(FUZZ_SECONDS)

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# All that `pip install --no-index --find-links wheelhouse 'sprov[...]'` needs, for both machines.
WHEEL_EXTRAS := server,interchange,plot,yaml
WHEEL_PYTHON ?= $(shell $(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

wheelhouse: $(STAMP)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir $@ .
	for machine in x86_64 aarch64; do \
		$(BIN)/python -m pip download --quiet --dest $@ --only-binary=:all: --implementation cp \
			--python-version $(WHEEL_PYTHON) --platform any --platform manylinux2014_$$machine \
			--platform manylinux_2_17_$$machine --platform manylinux_2_28_$$machine \
			'.[$(WHEEL_EXTRAS)]' || exit 1; \
	done

clean:
	rm -rf $(VENV) .venv-* build dist wheelhouse *.egg-info
