# `make sync` shows the connector at work, `make test` checks everything; both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: sync test format dust bench clean

sync: .venv/installed
	$(BIN)/python -m integration_tests.sync_sample

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses auto unit_tests/ integration_tests/

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dust: .venv/installed
	$(BIN)/python -m integration_tests.local_dust

bench: .venv/installed .venv-singer/installed .venv-dlt/installed
	$(BIN)/python -m benchmarks.bench
	$(BIN)/python -m benchmarks.latency

clean:
	rm -rf .venv .venv-singer .venv-dlt .mypy_cache .pytest_cache .ruff_cache

.venv/installed: requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 to 3.13 is needed, this is %d.%d: make PYTHON=python3.12 ..." % sys.version_info[:2] if not (3, 10) <= sys.version_info < (3, 14) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	touch $@

.venv-%/installed: benchmarks/requirements-%.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@
