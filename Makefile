# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TEST_PROCESSES ?= 2

.PHONY: demo test test-long check audit fuzz bench wheelhouse clean

$(STAMP): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[server,interchange,plot,yaml,mpi,demo,lifecycle,dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/sprov demo

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: demo check
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadgroup

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
	rm -rf $(VENV) build dist wheelhouse *.egg-info
