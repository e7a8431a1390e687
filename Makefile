# Everything starts here. A machine needs make and Python 3.11, 3.12 or 3.13; the rest goes into .venv.
# `make demo ARGS="--seconds 20 --json"` passes options on; `PYTHON=python3.12` chooses who makes .venv.

VENV ?= .venv
WORKERS ?= 6
ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

# Bytecode is kept whatever the environment says: without it each of some hundred processes compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test tests lint interop chaos bench clean

help:
	@echo 'make demo    watch events flow: NATS, a played vendor and the bridge, all on this machine'
	@echo 'make test    lint, types and the tests; under eight minutes on two cores'
	@echo 'make lint    ruff and mypy alone'
	@echo 'make interop our live sessions against npm packages and Rails: servers and official clients'
	@echo 'make chaos   the long fault suite: kills at random moments, then compares'
	@echo 'make bench   figures of this machine'
	@echo 'make clean   removes .venv and every cache'

demo: $(READY)
	@$(BIN)/bridged demo $(ARGS)

# Side by side: the tests wait more than they compute. Either failing fails both.
test: $(READY)
	@$(MAKE) --no-print-directory -j2 lint tests

# More workers than processors, for the same reason; see tests/conftest.py for who runs what. What pytest makes of the
# tests' asserts is made once before, and not by each worker.
tests: $(READY)
	@$(BIN)/python -m pytest --collect-only -q > /dev/null 2>&1 || true
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Here what is missing is an error; in `make test` it is a skip that says so.
interop: $(READY)
	BRIDGED_INTEROP=required $(BIN)/python -m pytest tests/interop $(ARGS)

chaos: $(READY)
	$(BIN)/python -m pytest -m chaos --timeout 3600 $(ARGS)

bench: $(READY)
	$(BIN)/python -m tests.bench $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last, so an interrupted installation is made again. PIP_CONSTRAINT also reaches what
# builds the package; a change of pyproject.toml or the constraints installs anew into the same environment.
$(READY): pyproject.toml constraints.txt
	@chosen=; \
	for python in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python); do \
	    if "$$python" -c '$(SUPPORTED)' 2>/dev/null; then chosen=$$python; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	    found=$$($(or $(PYTHON),python3) --version 2>&1 || true); \
	    echo "bridged needs Python 3.11, 3.12 or 3.13; $(or $(PYTHON),python3) is: $$found" >&2; \
	    echo "Install one of them, or name one you have: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	    exit 1; \
	fi; \
	if ! "$(BIN)/python" -c '$(SUPPORTED)' 2>/dev/null; then \
	    echo "making $(VENV) with $$("$$chosen" --version)"; \
	    "$$chosen" -m venv --clear $(VENV) || { \
	        echo "$$chosen cannot make a virtual environment (on Debian and Ubuntu: install python3-venv)" >&2; \
	        exit 1; \
	    }; \
	fi
	@echo 'installing the pinned packages'
	@PIP_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet -e '.[test]'
	@touch $@
