# Everything starts here. A machine needs make and Python 3.11, 3.12 or 3.13; the rest goes into .venv.
# `make demo ARGS="--seconds 20 --json"` passes options on; `PYTHON=python3.12` chooses who makes .venv.

VENV ?= .venv
WORKERS ?= 4
PROGRAMS ?= 3
ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

# Bytecode is kept whatever the environment says: without it each of some hundred processes compiles everything anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test browser tests lint interop chaos ordeals thorough container bench simulate systemd audit clean

help:
	@echo 'make demo    watch events flow: NATS, five played vendors and the bridge, all on this machine'
	@echo 'make test    lint, types and the tests; some ten minutes on two cores'
	@echo 'make lint    ruff and mypy alone'
	@echo 'make interop our live sessions against npm packages and Rails, our webhooks under Schemathesis'
	@echo 'make chaos   ten minutes of every fault at everything, then a verdict: ARGS="--minutes 2 --seed 7 --replicas 3 --report FOLDER"'
	@echo 'make simulate  a minute of stories in virtual time, thousands of them: ARGS="--minutes 10", or "--seed 7 -v"'
	@echo 'make thorough  the tests of the layers with many times the examples, seeds and virtual days'
	@echo 'make ordeals the long tests: kills at random moments, fights, weeks of changes; then they compare'
	@echo 'make container  the image, built and run by Docker or Podman'
	@echo 'make bench   figures of this machine'
	@echo 'make audit   asks the package index whether anything pinned is known to be vulnerable'
	@echo 'make systemd the units on a booted machine with a real systemd; as root, and minutes the first time'
	@echo 'make clean   removes .venv and every cache'

demo: $(READY)
	@$(BIN)/bridged demo $(ARGS)

# Side by side: the tests wait more than they compute. Either failing fails both.
test: $(READY) browser
	@$(MAKE) --no-print-directory -j2 lint tests

# More workers than processors, for the same reason. Those tests that start whole programs run apart and fewer at a time,
# so that none starves another: see tests/conftest.py. Both parts are run, whatever the first comes to, and either failing
# fails both; where ARGS choose among the tests, one part may be left with none, which pytest calls 5. What pytest makes
# of the tests' asserts is made once before, and not by each worker.
tests: $(READY)
	@$(BIN)/python -m pytest --collect-only -q > /dev/null 2>&1 || true
	@failed=0; none=0; \
	for part in 'light -n $(WORKERS)' 'processes -n $(PROGRAMS)'; do \
	    echo "$(BIN)/python -m pytest --part $$part --dist worksteal" $(ARGS); \
	    $(BIN)/python -m pytest --part $$part --dist worksteal $(ARGS); \
	    case $$? in 0) ;; 5) none=$$((none + 1)) ;; *) failed=1 ;; esac; \
	done; \
	[ "$$failed" = 0 ] && { [ "$$none" = 0 ] || [ "$$none" -lt $(if $(strip $(ARGS)),2,1) ]; }

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
	$(BIN)/python -m tests.chaos $(ARGS)

ordeals: $(READY)
	$(BIN)/python -m pytest -m chaos --timeout 3600 $(ARGS)

# The engine on a virtual clock, against vendors and servers drawn from seeds; see tests/simulation/README.md.
simulate: $(READY)
	$(BIN)/python -m tests.simulation $(ARGS)

# What `make tests` tries with few examples, seeds and virtual days, with all of them; see tests/support/thorough.py.
thorough: $(READY)
	BRIDGED_THOROUGH=1 $(BIN)/python -m pytest --timeout 3600 tests/core tests/edge tests/engine tests/sandbox tests/adapters $(ARGS)

# The image, built and run by Docker or Podman, where there is one; here what is missing is an error.
container: $(READY)
	BRIDGED_CONTAINER=required $(BIN)/python -m pytest -m container --timeout 1800 tests/container $(ARGS)

bench: $(READY)
	$(BIN)/python -m tests.bench $(ARGS)

systemd: $(READY)
	$(BIN)/python -m pytest -m systemd tests/systemd $(ARGS)

# Whether anything we pin is known to be vulnerable: asks the package index, so it needs the network. What asks has an
# environment of its own: nothing of it is wanted in ours.
audit: $(READY)
	@test -x $(VENV)/audit/bin/pip-audit || { $(BIN)/python -m venv $(VENV)/audit && \
	    PIP_DISABLE_PIP_VERSION_CHECK=1 $(VENV)/audit/bin/pip install --quiet pip-audit; }
	$(VENV)/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --progress-spinner off $(ARGS)

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
