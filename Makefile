# make run | test | check | setup  (README.md); everything is installed into .venv on first use.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export GL_SERVERS_HOME ?= $(CURDIR)/.gl/servers
# what one of a suite's many processes has compiled is there for the others
unexport PYTHONDONTWRITEBYTECODE

# every package has to reach the floor on its own, so that a well-tested one cannot hide another
PACKAGES := resources/core resources/transport resources/scada resources/erp resources/databases resources/embedded \
	resources/window_buffer resources/agents resources/demo_plant gl_assets/agents gl_assets/checks gl_assets/cli \
	gl_assets/erp gl_assets/process_heat gl_assets/quality gl_assets/scada gl_assets/schemas gl_assets/transforms sensors/collector sensors/triggers
COVERAGE_TOTAL := 87
COVERAGE_PACKAGE := 85

# what the JavaScript agent of docs/how-to/agents-javascript.md is tested with: exact versions, named by the file made last
NODE := .gl/node
NODE_PACKAGES := mqtt@5.16.0 canonicalize@2.1.0
NODE_INSTALLED := $(NODE)/.$(subst @,-,$(firstword $(NODE_PACKAGES)))-$(subst @,-,$(lastword $(NODE_PACKAGES)))

.PHONY: run test check setup node format docs lock clean

run: setup
	@$(BIN)/gl up --demo

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 setup") if sys.version_info < (3, 11) else None'
	@echo "installing into $(VENV) (about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@# the lock is complete: no resolving, and every file is checked against its hash
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--config-settings editable_mode=compat -e .
	@touch $@

node: $(NODE_INSTALLED)

$(NODE_INSTALLED):
	@command -v npm >/dev/null || { echo "npm is not there; the JavaScript agent is tested with it: apt-get install nodejs npm"; exit 1; }
	@mkdir -p $(NODE)
	npm install --prefix $(NODE) --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error $(NODE_PACKAGES)
	@touch $@

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/interrogate -q resources gl_assets sensors benchmarks
	$(BIN)/pytest -q -n 2 --dist loadfile tests/unit -m "not slow"

# Four parts. Tests that start the whole platform would starve beside others: next to them run only the soak, which
# mostly waits (GL_SOAK_S: its seconds, 120), and, with what processor time they leave, units that never wait for
# anything. Then the rest; it waits much of its time for servers and for time to pass: four workers keep two cores busy.
TEST_WORKERS ?= 4
PYTEST := $(BIN)/coverage run -m pytest
NEVER_WAIT := $(addprefix tests/unit/gl_assets/,erp process_heat scada schemas transforms) tests/unit/resources/core
# what failed, said once more at the end, where people look first
FAILED := grep -hE '^(FAILED|ERROR) |^E  ' .gl/tests-*.log | cut -c1-400 | tail -n 60

test: setup node
	rm -f .coverage .coverage.* .gl/tests-*.log
	@mkdir -p .gl; $(PYTEST) tests/soak >.gl/tests-soak.log 2>&1 & soak=$$!; \
	nice -n 5 $(PYTEST) $(NEVER_WAIT) >.gl/tests-units.log 2>&1 & units=$$!; \
	set -o pipefail; \
	$(PYTEST) -m platform tests/e2e tests/faults 2>&1 | tee .gl/tests-platform.log; platform=$$?; \
	wait $$units; unit=$$?; tail -n 1 .gl/tests-units.log; \
	$(PYTEST) -m "not platform" -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder \
		$(addprefix --ignore=,tests/soak $(NEVER_WAIT)) 2>&1 | tee .gl/tests-rest.log; rest=$$?; \
	wait $$soak; soaked=$$?; tail -n 5 .gl/tests-soak.log; \
	failed=$$((platform + soaked + unit + rest)); [ $$failed -eq 0 ] || $(FAILED); exit $$failed
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --skip-covered --fail-under=$(COVERAGE_TOTAL)
	@for package in $(PACKAGES); do \
		$(BIN)/coverage report --include="$$package/*" --fail-under=$(COVERAGE_PACKAGE) >/dev/null \
		|| { echo "coverage of $$package is below $(COVERAGE_PACKAGE) %:"; \
		     $(BIN)/coverage report --include="$$package/*" --skip-covered; exit 1; }; \
	done

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# what is made from the code: a test holds that it is up to date
docs: setup
	$(BIN)/python -m resources.scada.quality_matrix

# versions and hashes, no index address
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		--all-extras pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .gl build .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache
