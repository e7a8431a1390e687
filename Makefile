# Everything starts here. A machine needs make and Python 3.11, 3.12 or 3.13; the rest goes into .venv.
# `make demo ARGS="--seconds 20 --json"` passes options on; `PYTHON=python3.12` chooses who makes .venv.

VENV ?= .venv
WORKERS ?= 5
ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

# Bytecode is kept whatever the environment says: without it each of some hundred processes compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test browser tests lint interop chaos bench systemd clean

help:
	@echo 'make demo    watch events flow: NATS, a played vendor and the bridge, all on this machine'
	@echo 'make test    lint, types and the tests; some fifteen minutes on two cores'
	@echo 'make lint    ruff and mypy alone'
	@echo 'make interop our live sessions against npm packages and Rails: servers and official clients'
	@echo 'make chaos   the long fault suite: kills at random moments, then compares'
	@echo 'make container  the image, built and run by Docker or Podman'
	@echo 'make bench   figures of this machine'
	@echo 'make systemd the units on a booted machine with a real systemd; as root, and minutes the first time'
	@echo 'make clean   removes .venv and every cache'

demo: $(READY)
	@$(BIN)/bridged demo $(ARGS)

# Side by side: the tests wait more than they compute. Either failing fails both.
test: $(READY) browser
	@$(MAKE) --no-print-directory -j2 lint tests

# More workers than processors, for the same reason; see tests/conftest.py for who runs what. What pytest makes of the
# tests' asserts is made once before, and not by each worker.
tests: $(READY)
	@$(BIN)/python -m pytest --collect-only -q > /dev/null 2>&1 || true
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

# The status page is tested in a real Chromium, the system's own. Where it is missing and cannot be installed, those tests
# are skipped and say so.
browser:
	@for name in chromium chromium-browser google-chrome; do command -v $$name > /dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    echo 'installing Chromium for the tests of the status page'; \
	    get='timeout 300 apt-get -qq -o DPkg::Lock::Timeout=120'; \
	    install="$$get install -y --no-install-recommends chromium"; \
	    export DEBIAN_FRONTEND=noninteractive; \
	    $$install > /dev/null 2>&1 || { $$get update > /dev/null 2>&1; $$install > /dev/null 2>&1; } || \
	        echo 'Chromium cannot be installed: the tests of the status page are skipped' >&2; \
	else \
	    echo 'Chromium is missing, the tests of the status page are skipped: install it (Debian: apt-get install chromium)' >&2; \
	fi

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Here what is missing is an error; in `make test` it is a skip that says so.
interop: $(READY)
	BRIDGED_INTEROP=required $(BIN)/python -m pytest tests/interop $(ARGS)

chaos: $(READY)
	$(BIN)/python -m pytest -m chaos --timeout 3600 $(ARGS)

# The image, built and run by Docker or Podman, where there is one; here what is missing is an error.
container: $(READY)
	BRIDGED_CONTAINER=required $(BIN)/python -m pytest -m container --timeout 1800 tests/container $(ARGS)

bench: $(READY)
	$(BIN)/python -m tests.bench $(ARGS)

systemd: $(READY)
	$(BIN)/python -m pytest -m systemd tests/systemd $(ARGS)

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
