# `make demo` and `make test` do all their set-up themselves; they need Python 3.11+ and nothing else.

PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
BIN := .venv/bin
PYTEST_ARGS ?=

.PHONY: help setup demo test check format live bench fidelity faults fuzz docs pyz page lock nginx clean

help:
	@echo "make demo      watch a broken site be diagnosed, fixed and proven at 101"
	@echo "make test      run all tests against every nginx within reach (make nginx fetches one more)"
	@echo "make check     formatting, lint, types"
	@echo "make format    format the code"
	@echo "make live      stage every cause that only a live site shows, and write the table of what was said"
	@echo "make bench     measure speed            make fidelity  compare the model with real nginx, at length"
	@echo "make faults    stage every known fault  make fuzz      a million broken inputs"
	@echo "make docs      build the documentation  make pyz       build the single-file program"
	@echo "make page      build the offline page   make lock      lock the development packages anew"

setup:
	@if [ -z "$(PYTHON)" ]; then echo "Python 3.11 or newer is needed: sudo apt-get install python3 python3-venv" >&2; exit 1; fi
	@$(PYTHON) tools/bootstrap.py

demo: setup
	@$(BIN)/ws101 demo

test: setup
	$(BIN)/python -m pytest -q -n auto --dist worksteal $(PYTEST_ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

live: setup
	$(BIN)/python -m tools.live_causes --parts
	$(BIN)/python -m tools.live_causes
	WS101_LIVE=1 $(BIN)/python -m pytest -q tests/live $(PYTEST_ARGS)

bench: setup
	$(BIN)/python -m bench

fidelity: setup
	$(BIN)/python -m tools.fidelity --write
	$(BIN)/python -m tools.mutants --count 20000 --write

faults: setup
	$(BIN)/python -m tools.faults

fuzz: setup
	$(BIN)/python -m tools.fuzz

docs: setup
	$(BIN)/python -m tools.docs

pyz: setup
	$(BIN)/python -m tools.pyz

page: setup
	$(BIN)/python -m tools.page

nginx:
	@$(PYTHON) tools/bootstrap.py --nginx

# uv reads its index from the machine's settings; the lock file names none.
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet -o requirements-dev.txt

clean:
	rm -rf .venv .cache build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
